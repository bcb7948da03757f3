"""Options in a file, `--config FILE`, and the file of a run that repeats it. This module imports nothing heavy."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config import PRESETS, Execution, Settings
from benchmark.declaration import Option, options_of
from benchmark.files import write_atomically
from methods.errors import UserError, first_line
from methods.paths import given_path

#: Its name in a run's folder.
CONFIG_NAME = "config.toml"

_HEAD = """\
# Repeats this run, in a new folder: python -m benchmark run --config FILE
# The names are those of the options; what is given on the command line wins. Paths are relative to where the command
# is given.
"""


def layered(options: Sequence[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Option -> value: what is `given` wins over the file of --config, that over the preset, that over defaults.

    Raises:
        UserError: the file cannot be used.
    """
    path = given.get("config")
    file = {} if path is None else read_config(given_path("--config", path), options)
    said = {**file, **given}
    preset = PRESETS[said["preset"]] if said.get("preset") else {}
    values = {option.name: option.default for option in options}
    return values | {name: value for name, value in preset.items() if name in values} | said


def read_config(path: Path, options: Sequence[Option]) -> dict[str, Any]:
    """The values in a file of --config, by the options' names.

    Args:
        path: of the file.
        options: of the command; those that the file may have.

    Raises:
        UserError: it cannot be read, has another option, or a value of another type.
    """
    content = _content(path)
    valid = {option.name: option for option in options if option.name != "config"}
    values: dict[str, Any] = {}
    for key, value in content.items():
        option = valid.get(key.replace("-", "_"))
        if option is None:
            shown = [_key(each) for each in valid.values()]
            close = difflib.get_close_matches(key.replace("_", "-"), shown, n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise UserError(f"--config {path} has an unknown option '{key}': {hint}valid are {', '.join(shown)}")
        if option.name in values:
            raise UserError(f"--config {path} gives '{_key(option)}' twice; give it once")
        try:
            values[option.name] = option.from_file(value)
        except ValueError as error:
            raise UserError(f"--config {path}: {key} = {_shown(value)} {error}") from None
    return values


def _content(path: Path) -> dict[str, Any]:
    try:
        # Editors of Windows begin a file with a mark.
        text = path.read_bytes().decode().removeprefix("\ufeff")
        return tomllib.loads(text)
    except FileNotFoundError:
        raise UserError(f"--config: there is no file {path}; each run has one, results/<run>/{CONFIG_NAME}") from None
    except IsADirectoryError:
        raise UserError(f"--config: {path} is a folder; give a file, as {path / CONFIG_NAME}") from None
    except OSError as error:
        raise UserError(f"--config: {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"--config: {path} is damaged, or is not TOML: {first_line(error)}") from error


def write_config(folder: Path, settings: Settings, execution: Execution) -> None:
    """Write the file that repeats a run into its folder, unless it is there.

    Raises:
        StorageError: it cannot be written.
    """
    path = folder / CONFIG_NAME
    if not path.exists():
        write_atomically(path, config_text(settings, execution).encode())


def config_text(settings: Settings, execution: Execution) -> str:
    """The file that repeats a run, without its name and place. What is not in it is as the stream or method has it."""
    lines = []
    for part in (settings, execution):
        for option in options_of(type(part)):
            value = getattr(part, option.field)
            if value is not None:
                lines.append(f"{_key(option)} = {_toml(value)}\n")
    return _HEAD + "".join(lines)


def _key(option: Option) -> str:
    return option.name.replace("_", "-")


def _toml(value: Any) -> str:
    """A flat value in TOML."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        # Text in TOML is text in JSON, but for one more character that has to be escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _shown(value: Any) -> str:
    """A value of a file in a message, on one line and not too long."""
    text = _toml(tuple(value) if isinstance(value, list) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
