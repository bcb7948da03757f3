"""Reads a protocol from its file, and refuses what cannot be used before anything is run. Nothing heavy is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config import RUN_OPTIONS
from benchmark.protocols.protocol import DATA, Data, Part, Protocol
from benchmark.protocols.tables import Number, Place, check_table
from benchmark.protocols.targets import read_targets
from benchmark.running.config_file import option_values, shown_value, toml_content
from benchmark.task_inference.rules import parse_rules
from methods import methods as registered
from methods.errors import UserError
from methods.options import parse_spec
from methods.registry import load_plugin

#: What a protocol may not decide: where a run lies, and what else its methods come from.
_NOT_IN_RUN = ("methods", "out", "name", "config", "tuned")

_SHARED = {"run": dict, "methods": dict, "data": dict, "differs": list, "defaults": dict, "targets": list}
_TOP = {"title": str, "source": str, "parts": dict, **_SHARED}
_DATA = {"needs": str, "from": str, "files": list, "download": bool}


def read_protocol(path: Path) -> Protocol:
    """The protocol in a file; docs/reproduce.md says what may be in it.

    Raises:
        UserError: it cannot be used; the message names the file and the entry, and says what would be right.
    """
    place = Place(path)
    try:
        content = toml_content(path, Number)
    except FileNotFoundError:
        raise UserError(f"reproduce: there is no file {path}; give the name of a protocol, or its file") from None
    except IsADirectoryError:
        raise UserError(f"reproduce: {path} is a folder; give the file of a protocol") from None
    except ValueError as error:
        raise UserError(f"reproduce {path}: the file {error}") from error
    check_table(content, _TOP, place, ("title", "source"))
    shared = {key: value for key, value in content.items() if key in _SHARED}
    tables = content.get("parts", {})
    if "parts" in content and not tables:
        raise place.refuse("[parts] is empty; give at least one [parts.NAME], or leave it out")
    parts = [_part(name, _merged(shared, own, place, name), place) for name, own in tables.items()]
    if not tables:
        parts = [_part("", shared, place)]
    return Protocol(path.stem, path, content["title"], content["source"], tuple(parts))


def _merged(shared: Mapping[str, Any], own: Any, place: Place, name: str) -> dict[str, Any]:
    """The tables of a part: its own entries win over those for all parts, and its lists come after theirs."""
    inside = place.inside(f"parts.{name}")
    if not isinstance(own, dict):
        raise inside.refuse(f"must be a table; write [parts.{name}.run], for example")
    if not re.fullmatch(r"[\w.+-]+", name) or name.strip(".") == "":
        raise inside.refuse("the name of a part is a folder's: letters, digits and . + - _ only")
    check_table(own, _SHARED, inside)
    merged = dict(shared)
    for key, value in own.items():
        before = shared.get(key, type(value)())
        # Data are needed as a whole: those of another part say nothing about these.
        merged[key] = before + value if isinstance(value, list) else value if key == "data" else {**before, **value}
    return merged


def _part(name: str, content: Mapping[str, Any], place: Place) -> Part:
    inside = place.inside(f"parts.{name}") if name else place
    given = content.get("run", {})
    options = [option for option in RUN_OPTIONS.values() if option.name not in _NOT_IN_RUN]
    values = option_values(given, options, str(inside.inside("run")))
    data = _data(content, inside)
    if any(DATA in value for value in values.values() if isinstance(value, str)) != (data is not None):
        raise inside.refuse(
            f"[run] and [data] do not fit: options with {DATA}, the folder of --data, in them need a table [data], and "
            "it needs them"
        )
    for plugin in values.get("plugin", ()):
        load_plugin(plugin, f"{inside.inside('run')}: plugin")
    methods = _methods(content.get("methods", {}), inside.inside("methods"))
    scenario = str(values.get("scenario", "task"))
    answers = [scenario, *(["derived"] if scenario == "class" else [])]
    try:
        rules = parse_rules(values.get("infer", ()))
    except UserError as error:
        raise inside.inside("run").refuse(str(error)) from None
    # With a rule, methods that learn with the task known may be among them; protocols/answers.py knows which.
    answers += ["task", *(f"inferred:{rule}" for rule in rules)] if rules and scenario != "task" else []
    defaults = content.get("defaults", {})
    targets = read_targets(content.get("targets", []), defaults, methods, answers, inside)
    # Tables for all parts may have rows that another part has numbers of.
    rows = {target.row for target in targets}
    methods = {row: spec for row, spec in methods.items() if row in rows}
    return Part(name, values, methods, targets, data, _texts(content.get("differs", []), inside, "differs"))


def _methods(content: Mapping[str, Any], place: Place) -> dict[str, str]:
    if not content:
        raise place.refuse('has no method; write for example er = "er:memory=200"')
    found: dict[str, str] = {}
    for row, spec in content.items():
        if not isinstance(spec, str):
            raise place.refuse(f'{row} = {shown_value(spec)} must be text in quotes, as "er:memory=200"')
        try:
            method = parse_spec(spec)
            if method.name in registered.groups():
                raise UserError(f"'{method.name}' is a group; name one method")
            registered.check(method.name)
        except UserError as error:
            raise place.refuse(f"{row}: {error}") from None
        twin = next((other for other, known in found.items() if known == method.text), None)
        if twin is not None:
            raise place.refuse(f"{twin} and {row} are both {shown_value(method.text)}; give a method one row")
        found[row] = method.text
    return found


def _data(content: Mapping[str, Any], place: Place) -> Data | None:
    if "data" not in content:
        return None
    table, inside = content["data"], place.inside("data")
    check_table(table, _DATA, inside, ("needs", "from"))
    files = _texts(table.get("files", []), inside, "files")
    return Data(table["needs"], table["from"], files, table.get("download", False))


def _texts(values: Sequence[Any], place: Place, key: str) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            raise place.refuse(f"{key} must be a list of texts in quotes, and has {shown_value(value)}")
    return tuple(values)
