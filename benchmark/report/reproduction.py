"""Published numbers and ours, as a reader sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.report.markdown import markdown
from benchmark.report.table import EMPTY, MINUS, Table, TableCell
from benchmark.results.blocks import counted
from benchmark.results.reproduction import is_fraction, published_of, reproducible_metrics
from benchmark.results.run import Results
from benchmark.storage.folder import RunFolder
from benchmark.storage.published import Published, Target
from methods.names import printable

_HEADERS = ("Row", "What is measured", "Published", "Here", "Difference", "95 % interval", "Verdict")
_EXPLANATIONS = (
    "The method's name in the protocol.",
    "The number that is compared, and the answers that it is about where there are several.",
    "The number of the source, with its spread and how many runs it is the mean of.",
    "The number of this run, with the same kind of spread.",
    "Here less published.",
    "The 95 % confidence interval of the difference, or the tolerance of the protocol.",
    "Whether the two numbers agree; the letters are explained above.",
)
_JUDGED = ("agrees", "higher", "lower")
_SPREADS = {"sd": "SD", "se": "SE", "ci95": "half the 95 % CI"}

# Each with the rules that it explains.
_RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "A difference is ours less the published number, with its 95 % confidence interval. It agrees if the interval "
        "holds 0, which says no more than that the true difference is likely within the interval.",
        ("both spreads", "our spread", "their spread"),
    ),
    ("The interval is Welch's, from both spreads and numbers of repetitions.", ("both spreads",)),
    ("Where the source has no spread that can be used (a), ours is taken for both.", ("our spread",)),
    ("Where we have no spread (b), that of the source is taken for both.", ("their spread",)),
    ("Where the protocol names a tolerance instead (c), a difference within it agrees.", ("tolerance",)),
    ("A bound (d) holds or does not.", ("bound",)),
)
_MARKS = {"our spread": " (a)", "their spread": " (b)", "tolerance": " (c)", "bound": " (d)"}


def reproduction_display(results: Results) -> Table | None:
    """reproduction.csv of a run as a reader sees it; None for an ordinary run."""
    published = published_of(results.manifest)
    return None if published is None else _display([(published, results.reproduction)])


def write_reproduction(folder: Path, runs: Sequence[Results]) -> Table:
    """Write reproduction.csv and reproduction.md of all runs of a protocol.

    Args:
        folder: to write to.
        runs: the results of the runs; at least one.

    Returns:
        The table as a reader sees it.
    """
    known = [(published_of(run.manifest), run.reproduction) for run in runs]
    table = _display([(published, frame) for published, frame in known if published is not None])
    out = RunFolder(folder)
    out.write_csv("reproduction", pd.concat([frame for _, frame in known], ignore_index=True))
    out.write_text("reproduction.md", markdown(table))
    return table


def _display(parts: Sequence[tuple[Published, pd.DataFrame]]) -> Table:
    rows, verdicts, rules = [], [], set()
    for published, frame in parts:
        for target, row in zip(published.targets, frame.to_dict("records"), strict=True):
            rows.append(_cells(published.part, target, row))
            verdicts.append(str(row["verdict"]))
            rules.add(str(row["rule"]))
    first = parts[0][0]
    said = [f"{first.title}. Source: {first.source}.", conclusion(verdicts)]
    said += [text for text, explained in _RULES if rules.intersection(explained)]
    departures = list(dict.fromkeys(text for published, _ in parts for text in published.departures))
    if departures:
        said.append(f"Otherwise than the protocol says: {' '.join(departures)}")
    differs = list(dict.fromkeys(text for published, _ in parts for text in published.differs))
    if differs:
        said.append(f"Otherwise than the source: {' '.join(differs)}")
    return Table("reproduction", printable(" ".join(said)), _HEADERS, tuple(rows), _EXPLANATIONS, words=2)


def conclusion(verdicts: Sequence[str]) -> str:
    """How many numbers agree, and how many would differ by chance alone."""
    judged = [verdict for verdict in verdicts if verdict in _JUDGED]
    parts = []
    if judged:
        agree, differ = judged.count("agrees"), len(judged) - judged.count("agrees")
        parts.append(
            f"Of {counted(len(judged), 'number')} judged, {agree} {'agrees' if agree == 1 else 'agree'} and {differ} "
            f"{'differs' if differ == 1 else 'differ'}; if nothing differed, about {0.05 * len(judged):.1g} would by "
            "chance."
        )
    said = {
        "holds": "Bounds that hold: {}.",
        "does not hold": "Bounds that do not hold: {}.",
        "not judged": "Not judged, because no spread is known: {}.",
        "not run": "Not run to the end, or not defined: {}.",
    }
    return " ".join([*parts, *(text.format(n) for each, text in said.items() if (n := verdicts.count(each)))])


def _cells(part: str, target: Target, row: Mapping[str, Any]) -> tuple[TableCell, ...]:
    digits, scale = target.digits, 100.0 if is_fraction(target.metric) else 1.0

    def number(value: Any, sign: str = "", more: int = 0) -> str:
        return f"{scale * value:{sign}.{max(digits, 1) + more}f}".replace("-", MINUS)

    def spread(value: Any, kind: str, count: Any) -> str:
        runs = "" if _missing(count) else f" of {int(count)}"
        if _missing(value):
            return f" ({counted(int(count), 'run')})" if runs else ""
        return f" ± {number(value)} ({_SPREADS[kind]}{runs})"

    name = reproducible_metrics()[target.metric].name.replace("_", " ")
    unit = " (%)" if is_fraction(target.metric) or target.metric.endswith("_percent") else ""
    where = ", ".join(dict.fromkeys(filter(None, [part, name + unit, target.answer])))
    published = ("below " if target.bound else "") + number(target.value)
    published += spread(target.spread, target.spread_is or "sd", target.repetitions)
    ours = interval = difference = EMPTY
    if not _missing(row["ours"]):
        # Near a bound, rounding would hide on which side a number lies.
        more = 2 if target.bound else 0
        ours = number(row["ours"], more=more)
        ours += spread(row["our_spread"], target.spread_is or "sd", row["our_repetitions"])
        difference = number(row["difference"], "+", more)
    if not _missing(row["difference_ci95"]):
        low, high = (row["difference"] + side * row["difference_ci95"] for side in (-1, 1))
        interval = f"[{number(low, '+')}, {number(high, '+')}]"
    elif target.tolerance is not None:
        interval = f"within {number(target.tolerance)}"
    verdict = f"{row['verdict']}{_MARKS.get(row['rule'], '')}"
    values = (None, None, target.value * scale, row["ours"], row["difference"], row["difference_ci95"], None)
    texts = (target.row, where, published, ours, difference, interval, verdict)
    return tuple(
        TableCell(printable(text), value=None if _missing(value) else float(value))
        for text, value in zip(texts, values, strict=True)
    )


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
