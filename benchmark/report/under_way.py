"""How far a run is, as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmark.report.table import EMPTY, duration_text
from benchmark.report.text import aligned
from benchmark.results.under_way import CellUnderWay, UnderWay
from benchmark.storage.manifest import DIVERGED, FAILED, PENDING, RUNNING, SUCCEEDED
from methods.names import printable

# Which cells are shown where there is no room for all.
_FIRST = (RUNNING, FAILED, DIVERGED, PENDING, SUCCEEDED)
_HEADERS = ("cell", "status", "tasks", "learns now", "accuracy (%)", "left")


def lines_of(view: UnderWay, height: int | None = None) -> list[str]:
    """The lines: the run, a line for each cell, and the causes of failures.

    Args:
        view: how far the run is.
        height: how many lines there is room for; None for as many as needed.
    """
    if not view.status:
        return [f"{view.title}: being prepared"]
    failures = [f"{cell.name} {cell.status}: {cell.cause}" for cell in view.cells if cell.cause]
    head = [view.title, _state(view), ""]
    room = None if height is None else max(1, height - len(head) - len(failures) - 3)
    lines = [*head, *_table(view, room), *([""] if failures else []), *failures]
    lines = [printable(line) for line in lines]
    return lines if height is None else lines[:height]


def _state(view: UnderWay) -> str:
    every = view.tasks * len(view.cells)
    parts = [f"{view.learned} of {every} tasks learned"]
    if view.goes_on:
        parts.insert(0, f"going on for {duration_text(view.since)}")
        if view.learned == every:
            parts.append("making tables and figures")
        else:
            parts.append(
                f"about {duration_text(view.left)} left" if view.left is not None else "time left: not known yet"
            )
        parts.append(f"last written {duration_text(view.written)} ago")
    else:
        ended = "interrupted" if view.status == RUNNING else view.status
        parts.insert(0, f"{ended} after {duration_text(view.since)}")
    return "; ".join(parts)


def _table(view: UnderWay, room: int | None) -> list[str]:
    shown = list(view.cells)
    if room is not None and len(shown) > room:
        shown = sorted(shown, key=lambda cell: _FIRST.index(cell.status) if cell.status in _FIRST else 0)[: room - 1]
    lines = aligned([_HEADERS, *(_row(cell, view) for cell in shown)], right=(2, 4, 5))
    left_out = Counter(cell.status for cell in view.cells) - Counter(cell.status for cell in shown)
    if left_out:
        lines.append("and " + ", ".join(f"{count} {status}" for status, count in left_out.items()))
    return lines


def _row(cell: CellUnderWay, view: UnderWay) -> Sequence[str]:
    accuracy = EMPTY if cell.accuracy is None else f"{100 * cell.accuracy:.1f}"
    waits = view.goes_on and cell.learned < view.tasks and cell.status in (RUNNING, PENDING)
    left = duration_text(cell.left) if waits and cell.left is not None else EMPTY
    # A process that was killed leaves the status.
    status = "interrupted" if cell.status == RUNNING and not view.goes_on else cell.status
    task = cell.task if view.goes_on and cell.task else EMPTY
    return cell.name, status, f"{cell.learned}/{view.tasks}", task, accuracy, left
