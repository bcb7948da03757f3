"""Names on the command line -> classes.

One small registry serves methods, streams and backbones. An entry may be lazy ("module:Class"), so that listing or
checking names imports neither torch nor Avalanche.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

from methods.errors import UserError, first_line
from methods.names import check_name, did_you_mean
from methods.options import check_options, required_options
from methods.paths import given_path

C = TypeVar("C", bound=type)

# The fewest letters that are taken for the start of a full name.
_FULL_NAME = 6

# Each plugin that was loaded, and whether it registered anything: a class that it only defines has no name.
_PLUGINS: dict[str, bool] = {}


@dataclass
class _Entry:
    target: str
    summary: str
    value: Any = None


@dataclass(frozen=True)
class _Group:
    summary: str
    members: tuple[str, ...] | None
    without: tuple[str, ...]
    accepts: Callable[[Any], bool]


class Registry(Generic[C]):
    """A table from names to classes of one kind.

    Args:
        kind: what the entries are, for messages: "method", "stream", "backbone".
        entry_points: the entry-point group through which installed packages add entries.
    """

    #: How many names all registries together know beside those that are only announced.
    registered: ClassVar[int] = 0

    def __init__(self, kind: str, entry_points: str | None = None):
        self.kind = kind
        self._entries: dict[str, _Entry] = {}
        self._groups: dict[str, _Group] = {}
        self._entry_points = entry_points
        self._complaints: list[str] = []

    def add_lazy(self, name: str, target: str, summary: str) -> None:
        """Announce `name`, to be imported from `target` ("module:Class") when it is first used."""
        self._claim(name, target)
        self._entries[name] = _Entry(target, summary)

    def register(self, name: str) -> Callable[[C], C]:
        """Class decorator: make the class known as `name`. The first line of its docstring is its summary."""

        def decorate(cls: C) -> C:
            target = f"{cls.__module__}:{cls.__qualname__}"
            self._claim(name, target)
            self._accept(name, cls)
            summary = (cls.__doc__ or "").strip().partition("\n")[0]
            known = self._entries.get(name)
            Registry.registered += known is None
            self._entries[name] = _Entry(target, known.summary if known else summary, cls)
            cls.name = name  # type: ignore[attr-defined]
            return cls

        return decorate

    def add_group(
        self,
        name: str,
        summary: str,
        members: Sequence[str] | None = None,
        without: Sequence[str] = (),
        accepts: Callable[[Any], bool] = lambda cls: True,
    ) -> None:
        """Let `name` stand for several entries. No entry may have this name.

        Args:
            name: the group's name.
            summary: one line about it.
            members: the entries' names; None for all that need no option, also those that are announced later.
            without: entries that do not belong to it; their class cannot say so before it is imported.
            accepts: whether a class that was imported belongs to it.
        """
        self._groups[name] = _Group(summary, None if members is None else tuple(members), tuple(without), accepts)

    def names(self) -> list[str]:
        """All names, in the order they were announced."""
        self._discover()
        return list(self._entries)

    def entries(self) -> dict[str, object]:
        """Name -> what stands for it: another object once it is announced again."""
        self._discover()
        return dict(self._entries)

    def groups(self) -> list[str]:
        """The names of the groups."""
        return list(self._groups)

    def members(self, group: str) -> list[str]:
        """The names that `group` stands for. Imports nothing."""
        chosen = self._groups[group]
        if chosen.members is not None:
            return list(chosen.members)
        return [name for name in self.names() if name not in chosen.without and self._may_join(name, chosen)]

    def complaints(self) -> list[str]:
        """What installed packages announce but may not use, a sentence each."""
        self._discover()
        return list(self._complaints)

    def summary(self, name: str) -> str:
        """One line about an entry or a group."""
        return self._groups[name].summary if name in self._groups else self._lookup(name).summary

    def documentation(self, name: str) -> str:
        """The first paragraph of a class's documentation, as one line; empty if there is none. Imports no class."""
        entry = self._lookup(name)
        text = _docstring(entry.target) if entry.value is None else entry.value.__doc__
        return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())

    def check(self, name: str) -> None:
        """Raise UserError, naming the known entries, if there is no `name`. Imports nothing."""
        self._lookup(name)

    def get(self, name: str) -> C:
        """The class called `name`, imported now if it was not imported yet.

        Raises:
            UserError: no such entry exists, or its module cannot be imported.
        """
        entry = self._lookup(name)
        if entry.value is None:
            module, _, attribute = entry.target.partition(":")
            try:
                loaded = getattr(importlib.import_module(module), attribute)
            except UserError:
                raise
            except Exception as error:  # whatever a package does when it is imported
                reason = first_line(error)
                raise UserError(f"{self.kind} '{name}' cannot be loaded from {entry.target}: {reason}") from error
            self._accept(name, loaded)
            loaded.name = name
            entry.value = loaded
        return entry.value

    def _may_join(self, name: str, group: _Group) -> bool:
        """Whether a class, if it was imported, needs nothing but its name, and the group accepts it."""
        cls = self._entries[name].value
        return cls is None or (not required_options(cls) and group.accepts(cls))

    def _accept(self, name: str, cls: type) -> None:
        """Raise UserError if a class cannot be the entry `name`."""
        other = next((known for known, entry in self._entries.items() if entry.value is cls and known != name), None)
        if other is not None:
            raise UserError(
                f"{self.kind} '{name}' is the class {cls.__name__}, which is already '{other}'; a class has one name: "
                f"derive another one from it"
            )
        check_options(cls, f"{self.kind} '{name}'")

    def _claim(self, name: str, target: str) -> None:
        check_name(f"{target}: {self.kind}", name)
        if name != name.strip() or set(name) & set(":,"):
            raise UserError(
                f"{target}: {name!r} is no name of a {self.kind}; give it one without space at either end, colon and "
                "comma"
            )
        if name in self._groups:
            raise UserError(f"{self.kind} '{name}' would have the name of a group; {target} needs another name")
        known = self._entries.get(name)
        if known is not None and known.target != target:
            raise UserError(f"{self.kind} '{name}' is already defined by {known.target}; {target} needs another name")

    def _lookup(self, name: str) -> _Entry:
        self._discover()
        if name not in self._entries:
            hint = did_you_mean(name, [*self._entries, *self._groups]) or self._hint_by_full_name(name)
            groups = f"; groups are {', '.join(self._groups)}" if self._groups else ""
            known = f"{hint}known are {', '.join(self._entries)}{groups}"
            raise UserError(f"unknown {self.kind} '{name}': {known}{self._silent()}")
        return self._entries[name]

    def _hint_by_full_name(self, name: str) -> str:
        """A question about the entry whose summary or documentation begins with what the user wrote."""
        written = " ".join(name.casefold().split())
        known = (each for each in self._entries if any(text.startswith(written) for text in self._texts(each)))
        found = next(known, None) if len(written) >= _FULL_NAME else None
        return f"did you mean '{found}'? " if found else ""

    def _texts(self, name: str) -> tuple[str, str]:
        return self.summary(name).casefold(), self.documentation(name).casefold()

    def _silent(self) -> str:
        """What to say of plugins that registered nothing, behind a name that is unknown."""
        files = ", ".join(path for path, registers in _PLUGINS.items() if not registers)
        how = f'write @{self.kind}s.register("NAME") above the class'
        return f"; {files} registers nothing: {how}" if files else ""

    def _discover(self) -> None:
        """Add, once, what installed packages announce."""
        group, self._entry_points = self._entry_points, None
        if group is None:
            return
        for point in metadata.entry_points(group=group):
            package = re.split(r"[.:]", point.value)[0]
            try:
                self.add_lazy(point.name, point.value, f"from the installed package {package}")
            except UserError as error:
                # Another package's fault must not stop the user from using everything else.
                self._complaints.append(f"{error}, and is left out")


def _docstring(target: str) -> str | None:
    """The documentation of a class, "module:Class", from its file: only the packages above the module are imported."""
    module, _, name = target.partition(":")
    try:
        spec = importlib.util.find_spec(module)
        source = getattr(spec.loader, "get_source", lambda _: None)(module) if spec else None
        body = ast.parse(source or "").body
    except Exception:  # whatever the package of somebody else does
        return None
    return next(
        (ast.get_docstring(each) for each in body if isinstance(each, ast.ClassDef) and each.name == name), None
    )


def load_plugin(path: str, asked: str = "--plugin") -> ModuleType:
    """Import a Python file, so that what it registers becomes known.

    Args:
        path: of the file.
        asked: what the file was given to, for messages.

    Raises:
        UserError: the file is missing or does not import.
    """
    file = given_path(asked, path)
    if not file.is_file():
        raise UserError(f"{asked}: there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"plugin_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"{asked}: {path} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    before = Registry.registered
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise UserError(f"{asked}: {path} does not import: {first_line(error)}{_place(error, file)}") from error
    _PLUGINS[path] = _PLUGINS.get(path, False) or Registry.registered > before
    return module


def _place(error: BaseException, file: Path) -> str:
    """Where an error comes from, as " (mine.py, line 4)": a file, or one beside it; empty if the error tells it."""
    if isinstance(error, SyntaxError):
        return ""
    frames = ((Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__))
    own = [(path.name, line) for path, line in frames if path.parent.resolve() == file.parent.resolve()]
    return f" ({own[-1][0]}, line {own[-1][1]})" if own else ""
