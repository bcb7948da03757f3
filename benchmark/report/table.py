"""A table as it is shown: table cells of text, made from numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The command line lists methods with these tables before anything heavy is imported.
    from benchmark.results.columns import Form


@dataclass(frozen=True)
class TableCell:
    """One table cell as a reader sees it; `best` if it is in bold, see Statistics.leaders.

    `value` is the number behind the text, for sorting rows; None for names and missing numbers.
    """

    text: str
    best: bool = False
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table ready to print: the first columns, as many as `words`, hold names, the others numbers.

    `explanations` says what each column is; empty if its header says enough. `places` has the place of each row in the
    order of the run, if the rows are sorted by average accuracy.
    """

    name: str
    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    explanations: tuple[str, ...] = ()
    words: int = 1
    places: tuple[int, ...] = ()


EMPTY = "\N{EN DASH}"


MINUS = "\N{MINUS SIGN}"


def bytes_text(value: float) -> str:
    """A size in bytes with three significant digits: 44.7 MB."""
    return _prefixed(value, "B")


def _signed_bytes(value: float) -> str:
    return f"-{bytes_text(-value)}" if value < 0 else bytes_text(value)


def flops_text(value: float) -> str:
    """A count of floating-point operations with three significant digits: 1.82 GFLOP."""
    return _prefixed(value, "FLOP")


def duration_text(seconds: float) -> str:
    """A time in the two largest units that it has: 3 days 2 h, 2 h 5 min, 3 min 20 s, 0 s."""
    rest = round(seconds)
    counts: list[str] = []
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        counts.append(f"{count} {'day' if unit == 'days' and count == 1 else unit}")
    first = next((place for place, count in enumerate(counts) if not count.startswith("0 ")), len(counts) - 1)
    return " ".join(count for count in counts[first : first + 2] if not count.startswith("0 ")) or counts[first]


def _prefixed(value: float, unit: str) -> str:
    prefixes = ("", "k", "M", "G", "T", "P", "E", "Z")
    power = 0
    # 999.5 would be rounded to 1000.
    while value >= 999.5 and power < len(prefixes) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.0f} {unit}" if power == 0 else f"{_significant(value)} {prefixes[power]}{unit}"


def _percent(value: float) -> str:
    # Adding zero turns -0.0 into 0.0.
    return f"{round(100 * value, 1) + 0.0:.1f}"


def _significant(value: float) -> str:
    """At least three significant digits."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _ratio(value: float) -> str:
    return f"{value:.2f}"


def _fine_ratio(value: float) -> str:
    return f"{value:.3f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


#: How the numbers of a column are written.
WRITERS: Mapping[Form, Callable[[float], str]] = {
    "count": _count,
    "percent": _percent,
    "significant": _significant,
    "ratio": _ratio,
    "fine ratio": _fine_ratio,
    "bytes": bytes_text,
    "signed bytes": _signed_bytes,
    "flops": flops_text,
    "p": _p,
}
