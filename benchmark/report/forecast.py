"""What a run would take, as a table."""

from __future__ import annotations

import pandas as pd

from benchmark.report.table import Cell, Table, bytes_text


def forecast_display(forecast: pd.DataFrame, caption: str) -> Table:
    """A row for each method, and one for all of them together.

    Args:
        forecast: the columns method, seconds and disk_bytes.
        caption: says what was timed, and how.
    """
    rows = [_row(*row) for row in forecast[["method", "seconds", "disk_bytes"]].itertuples(index=False, name=None)]
    if len(rows) > 1:
        rows.append(_row("all methods", forecast["seconds"].sum(), forecast["disk_bytes"].sum()))
    return Table("forecast", caption, ("Method", "Training", "Disk"), tuple(rows))


def _row(method: str, seconds: float, size: float) -> tuple[Cell, Cell, Cell]:
    return Cell(method), Cell(duration_text(seconds), value=seconds), Cell(bytes_text(size), value=size)


def duration_text(seconds: float) -> str:
    """A time in the two largest units that it has: 3 days 2 h, 2 h 5 min, 3 min 20 s, 4 s."""
    rest = max(1, round(seconds))
    parts: list[str] = []
    for unit, size in ((" days", 86400), (" h", 3600), (" min", 60), (" s", 1)):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count}{unit.removesuffix('s') if unit == ' days' and count == 1 else unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))
