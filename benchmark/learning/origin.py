"""Finds the place in a method's own code that an error comes from."""

from __future__ import annotations

import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Origin:
    """A place in a method's code.

    Attributes:
        hook: what the program called: a hook of the method, or a function of a module that the method added.
        file, line: where the error was raised, or the last place before it in the method's file.
    """

    hook: str
    file: str
    line: int

    def __str__(self) -> str:
        path = Path(self.file)
        shown = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path
        return f"{self.hook} ({shown}, line {self.line})"


def origin_of(error: BaseException, cls: type) -> Origin | None:
    """Return where an error comes from; None if neither the class nor its file was involved.

    Args:
        error: the error, with its traceback.
        cls: the class of the method, stream or backbone.
    """
    own = getattr(sys.modules.get(cls.__module__), "__file__", None)
    named = inherited = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        code, mine = frame.f_code, isinstance(frame.f_locals.get("self"), cls)
        if code.co_filename == own:
            hook = named.hook if named else code.co_name if mine else code.co_qualname
            named = Origin(hook, code.co_filename, line)
        elif mine and inherited is None:
            inherited = Origin(code.co_name, code.co_filename, line)
    return named or inherited
