"""What happens while a run goes on: one stream of events for all listeners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Note:
    """Something outside the cells goes on, such as the drawing of figures."""

    text: str


@dataclass(frozen=True)
class Told:
    """A line that stays to be read, such as what a task of the stream has."""

    text: str


@dataclass(frozen=True)
class Warned:
    """A warning that a person must read, although the run goes on."""

    text: str


@dataclass(frozen=True)
class CellBegan:
    """A cell begins, or goes on after the tasks that are done.

    Attributes:
        cell: its name; several cells may go on at once.
        tasks: how many tasks it has.
        done: how many of these tasks are learned.
        epochs: how many epochs each task has; 1 if the method makes one pass without gradient steps.
    """

    cell: str
    tasks: int
    done: int
    epochs: int


@dataclass(frozen=True)
class TaskBegan:
    """A task of a cell begins: its number, from 1, and its name."""

    cell: str
    number: int
    task: str


@dataclass(frozen=True)
class Guessing:
    """The answers that a cell gives without knowing the task are made: those after `learned` tasks."""

    cell: str
    learned: int


@dataclass(frozen=True)
class EpochDone:
    """An epoch of a cell's task is done, or its one pass."""

    cell: str


@dataclass(frozen=True)
class CellEnded:
    """A cell has ended."""

    cell: str


@dataclass(frozen=True)
class CellFailed:
    """A cell failed."""

    cell: str
    cause: str


@dataclass(frozen=True)
class Failure:
    """Why a job failed.

    Attributes:
        cause: in one line.
        traceback: empty if there is none, for example because the process was killed.
        diverged: whether the loss was no longer finite.
        stops: whether no other job could keep what it learns either.
        keeps: whether the only problem is that the task was learned alone.
        memory: whether the GPU had too little free memory.
        broken: whether the process can no longer use its GPU.
    """

    cause: str
    traceback: str = ""
    diverged: bool = False
    stops: bool = False
    keeps: bool = False
    memory: bool = False
    broken: bool = False


@dataclass(frozen=True)
class JobBegan:
    """A job, given by its name, begins. It may have begun before."""

    job: str


@dataclass(frozen=True)
class JobEnded:
    """A job, given by its name, has ended; `failure` is None if all went well."""

    job: str
    failure: Failure | None


@dataclass(frozen=True)
class Placed:
    """A job tells on which machine it runs, if that is not known before.

    Attributes:
        machine: its versions and its hardware, as storage.provenance describes them.
    """

    machine: Mapping[str, Any]


Event = (
    Note
    | Told
    | Warned
    | CellBegan
    | TaskBegan
    | Guessing
    | EpochDone
    | CellEnded
    | CellFailed
    | JobBegan
    | JobEnded
    | Placed
)

#: Takes each event as it happens. A worker sends its events to the process that listens.
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Ignore the event."""


def tell_all(*listeners: Listener) -> Listener:
    """A listener that passes each event on to others, in their order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell
