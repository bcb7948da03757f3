"""Progress told in one process and shown in another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmark.progress.base import Progress


@dataclass(frozen=True)
class Told:
    """A call of a method of Progress, on its way to the process that shows it."""

    method: str
    arguments: tuple[Any, ...]

    def tell(self, progress: Progress) -> None:
        getattr(progress, self.method)(*self.arguments)


class RemoteProgress:
    """A Progress of which everything is sent elsewhere.

    Args:
        send: takes a Told.
    """

    def __init__(self, send: Callable[[Told], object]):
        self._send = send

    def note(self, text: str) -> None:
        self._send(Told("note", (text,)))

    def cell(self, name: str, tasks: int, done: int, epochs: int) -> None:
        self._send(Told("cell", (name, tasks, done, epochs)))

    def task(self, name: str, number: int, task: str) -> None:
        self._send(Told("task", (name, number, task)))

    def epoch(self, name: str) -> None:
        self._send(Told("epoch", (name,)))

    def ended(self, name: str) -> None:
        self._send(Told("ended", (name,)))

    def failed(self, name: str, cause: str) -> None:
        self._send(Told("failed", (name, cause)))

    def warn(self, text: str) -> None:
        self._send(Told("warn", (text,)))
