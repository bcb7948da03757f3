"""Options in a file, `--config FILE`, and the file that repeats a run. This module imports nothing heavy."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config import PRESETS, Execution, Settings
from benchmark.declaration import Option, options_of
from benchmark.files import write_atomically
from methods.errors import UserError, first_line
from methods.names import did_you_mean
from methods.paths import given_path

#: The file's name in a run's folder.
CONFIG_NAME = "config.toml"

_HEAD = """\
# Repeats this run, in a new folder: python -m benchmark run --config FILE
# The names are those of the options; what is given on the command line wins. Paths are relative to where the command
# is given.
"""


def layered(options: Sequence[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return option -> value. `given` wins over the file of --config, the file over the preset, that over defaults.

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
    """Return the values in a file of --config, by the options' names.

    Args:
        path: the file.
        options: the command's options, which the file may have.

    Raises:
        UserError: the file cannot be read, or has an unknown option or a value of a wrong type.
    """
    try:
        content = toml_content(path)
    except FileNotFoundError:
        raise UserError(f"--config: there is no file {path}; each run has one, results/<run>/{CONFIG_NAME}") from None
    except IsADirectoryError:
        raise UserError(f"--config: {path} is a folder; give a file, as {path / CONFIG_NAME}") from None
    except ValueError as error:
        raise UserError(f"--config: {path} {error}") from error
    return option_values(content, options, f"--config {path}")


def option_values(content: Mapping[str, Any], options: Sequence[Option], where: str) -> dict[str, Any]:
    """Return the values that a table of a TOML file gives to options, by the options' names.

    Args:
        content: the table.
        options: those that it may have; `config` is never among them.
        where: the file, and the table in it, for messages.

    Raises:
        UserError: there is an unknown option or a value of a wrong type.
    """
    valid = {option.name: option for option in options if option.name != "config"}
    values: dict[str, Any] = {}
    for key, value in content.items():
        option = valid.get(key.replace("-", "_"))
        if option is None:
            shown = [_key(each) for each in valid.values()]
            hint = did_you_mean(key.replace("_", "-"), shown)
            raise UserError(f"{where} has an unknown option '{key}': {hint}valid are {', '.join(shown)}")
        if option.name in values:
            raise UserError(f"{where} gives '{_key(option)}' twice; give it once")
        try:
            values[option.name] = option.from_file(value)
        except ValueError as error:
            raise UserError(f"{where}: {key} = {shown_value(value)} {error}") from None
    return values


def toml_content(path: Path, parse_float: Callable[[str], float] = float) -> dict[str, Any]:
    """Return the content of a TOML file.

    Args:
        path: the file.
        parse_float: makes a number of its text.

    Raises:
        FileNotFoundError, IsADirectoryError: there is no such file.
        ValueError: it cannot be read, or is not TOML; the message is the rest of a sentence that begins with the path.
    """
    try:
        # Some Windows editors put a byte order mark at the start.
        text = path.read_bytes().decode().removeprefix("\ufeff")
        return tomllib.loads(text, parse_float=parse_float)
    except (FileNotFoundError, IsADirectoryError):
        raise
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is damaged, or is not TOML: {first_line(error)}") from error


def write_config(folder: Path, settings: Settings, execution: Execution) -> None:
    """Write the file that repeats a run into its folder, unless the file exists.

    Raises:
        StorageError: the file cannot be written.
    """
    path = folder / CONFIG_NAME
    if not path.exists():
        write_atomically(path, config_text(settings, execution).encode())


def config_text(settings: Settings, execution: Execution) -> str:
    """Return the text of the file that repeats a run, without name and folder.

    An option that is not in it has the default of the stream or method.
    """
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
    """Return a flat value in TOML."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        # JSON text is valid TOML text, except that TOML must escape one more character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def shown_value(value: Any) -> str:
    """Return a value from the file for a message, on one short line."""
    text = _toml(tuple(value) if isinstance(value, list) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
