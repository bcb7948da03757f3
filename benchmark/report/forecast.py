"""What a run would take, as a table."""

from __future__ import annotations

import pandas as pd

from benchmark.report.table import Table, TableCell, bytes_text, duration_text


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


def _row(method: str, seconds: float, size: float) -> tuple[TableCell, TableCell, TableCell]:
    return (
        TableCell(method),
        TableCell(duration_text(max(1, seconds)), value=seconds),
        TableCell(bytes_text(size), value=size),
    )
