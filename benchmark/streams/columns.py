"""Labels as columns: where one head answers for all tasks, a label is the place of its class among all classes."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

from benchmark.streams.base import Stream, Task
from methods.scenarios import Scenario


def in_columns(stream: Stream, scenario: Scenario) -> Stream:
    """Return the stream with the labels that a scenario asks for.

    In "class", the classes of the tasks lie side by side, in the order of learning. In "task" and "domain", a label is
    a class of its own task.
    """
    if scenario != "class":
        return stream
    firsts = accumulate(stream.widths[:-1], initial=0)
    return replace(stream, tasks=tuple(map(_moved, stream.tasks, firsts)))


def _moved(task: Task, first: int) -> Task:
    """Return a task whose labels begin with `first`."""
    parts = {name: getattr(task, name) for name in ("train", "validation", "test")}
    return replace(task, **{name: part.relabelled(part.labels + first) for name, part in parts.items()})
