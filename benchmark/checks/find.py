"""Finds what to check: named classes, and the classes that files register."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark.backbones import backbones
from benchmark.backbones.base import Backbone
from benchmark.checks.backbones import BACKBONE_CHECKS, BackboneSubject
from benchmark.checks.base import Finding, examine
from benchmark.checks.methods import METHOD_CHECKS
from benchmark.checks.streams import STREAM_CHECKS, StreamSubject
from benchmark.checks.subject import MethodSubject
from benchmark.learning.learner import prepare
from benchmark.streams import streams
from benchmark.streams.source import StreamSource
from methods import Method, methods
from methods.configured import configure
from methods.errors import UserError, first_line
from methods.options import arguments, call, parse_spec
from methods.registry import Registry, load_plugin

_KINDS: tuple[tuple[Registry[Any], type], ...] = ((methods, Method), (streams, StreamSource), (backbones, Backbone))


@dataclass(frozen=True)
class Target:
    """Something to check.

    Attributes:
        registry: the registry of its kind.
        text: its specification.
        backbone: the specification of the network that a method is checked on; empty for a tiny one.
        note: what the user must know before it is used; empty if nothing.
    """

    registry: Registry[Any]
    text: str
    backbone: str = ""
    note: str = ""

    def __str__(self) -> str:
        return f"{self.registry.kind} {self.text}"

    def findings(self) -> Iterator[Finding]:
        """Run all checks of its kind."""
        try:
            if self.registry is methods:
                configured = configure(self.text)
                make = partial(MethodSubject, configured, backbone=_backbone(self.backbone) if self.backbone else None)
                if self.backbone and (refusal := _refusal(make())):
                    yield Finding("says whether it can be used on the backbone", "ok", refusal)
                    return
                for scenario in configured.cls.scenarios:
                    for finding in examine(METHOD_CHECKS, partial(make, scenario=scenario)):
                        told = f"{finding.check}, with --scenario {scenario}"
                        yield finding if scenario == "task" else replace(finding, check=told)
                return
            spec = parse_spec(self.text)
            cls = self.registry.get(spec.name)
            options = arguments(cls, spec)
            call(cls, spec, options)
            if self.registry is streams:
                yield from examine(STREAM_CHECKS, lambda: StreamSubject(spec, cls, options))
            else:
                yield from examine(BACKBONE_CHECKS, lambda: BackboneSubject(spec, cls, options))
        except UserError as error:
            yield Finding("it can be made", "failed", str(error))
        except Exception as error:  # a constructor can raise anything
            yield Finding(
                "it can be made", "failed", f"{first_line(error)}; mend its constructor, or give other options"
            )


def targets(asked: Sequence[str], backbone: str = "") -> list[Target]:
    """Return the targets for files and names, in the given order.

    Args:
        asked: files, which are loaded, and specifications.
        backbone: the specification of the network for methods; empty for a tiny one.

    Raises:
        UserError: a file cannot be loaded or has nothing to check, or a name is unknown.
    """
    found: list[Target] = []
    for text in asked:
        found += _of_file(text) if _is_file(text) else _of_name(text)
    named = {(id(t.registry), parse_spec(t.text).name) for t in found if ":" in t.text}
    # If a name is given with options, it is not checked without options too.
    kept = [t for t in found if ":" in t.text or (id(t.registry), t.text) not in named]
    if backbone:
        _backbone(backbone)
    return [replace(target, backbone=backbone) for target in dict.fromkeys(kept)]


def _refusal(subject: MethodSubject) -> str:
    """Return why a method cannot be used on the backbone; empty if it can."""
    try:
        prepare(subject.cell(), 1)
    except UserError as error:
        return str(error)
    return ""


def _backbone(text: str) -> Backbone:
    """Make a backbone for methods.

    Raises:
        UserError: there is none of that name, its options are wrong, or it takes grey images.
    """
    spec = parse_spec(text)
    cls = backbones.get(spec.name)
    made: Backbone = call(cls, spec, arguments(cls, spec))
    if len(made.mean) != 3:
        raise UserError(f"check --backbone {text}: it takes grey images, and the tasks of a check have colours")
    return made


def _is_file(text: str) -> bool:
    return text.endswith(".py") or (Path(text).is_file() and "/" in text)


def _of_file(path: str) -> list[Target]:
    before = {id(registry): registry.entries() for registry, _ in _KINDS}
    module = load_plugin(path, "check")
    found = [
        Target(registry, name)
        for registry, _ in _KINDS
        for name, entry in registry.entries().items()
        if before[id(registry)].get(name) is not entry
    ]
    found = found or list(_defined(module))
    if not found:
        raise UserError(
            f'check: {path} registers nothing; write @methods.register("NAME") above the class of a method, or '
            "@streams.register or @backbones.register"
        )
    return found


def _defined(module: ModuleType) -> Iterator[Target]:
    """Register the classes that a file defines for a package's entry points, under their own names; yield them."""
    for name, value in vars(module).items():
        if inspect.isclass(value) and value.__module__ == module.__name__ and not inspect.isabstract(value):
            for registry, base in _KINDS:
                if issubclass(value, base) and not name.startswith("_"):
                    registry.register(name)(value)
                    yield Target(registry, name, note=_unregistered(name, registry.kind))


def _unregistered(name: str, kind: str) -> str:
    """What to say of a class that only a check knows."""
    return (
        f"{name} is checked, but not registered, so that `run --plugin` does not know it; write "
        f'@{kind}s.register("NAME") above the class, or announce it as a {kind} of an installed package'
    )


def _of_name(text: str) -> list[Target]:
    spec = parse_spec(text)
    if spec.name in methods.groups():
        return [Target(methods, name) for name in methods.members(spec.name)]
    known = [registry for registry, _ in _KINDS if spec.name in registry.entries()]
    if not known:
        raise UserError(_unknown(text))
    if spec == spec.name:
        return [Target(registry, text) for registry in known]
    # Several kinds may have this name. Use the first kind that accepts the options.
    return [Target(next((registry for registry in known if _fits(registry, text)), known[0]), text)]


def _fits(registry: Registry[Any], text: str) -> bool:
    try:
        if registry is methods:
            configure(text)
        else:
            spec = parse_spec(text)
            cls = registry.get(spec.name)
            call(cls, spec, arguments(cls, spec))
    except UserError:
        return False
    return True


def _unknown(text: str) -> str:
    kinds = "; ".join(f"{registry.kind}s are {', '.join(registry.names())}" for registry, _ in _KINDS[:2])
    return f"check: there is no file, method, stream or backbone '{text}'; {kinds}; `backbones` lists the backbones"
