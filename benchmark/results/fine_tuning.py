"""The row of plain fine-tuning: the seconds of all rows are divided by its seconds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from methods.names import method_name

_FINE_TUNING = "sgd"


@dataclass(frozen=True)
class TimeUnit:
    """The divisor of `normalized_seconds`.

    Attributes:
        label: of the row; None if there is none, and then the column is empty.
        note: what a reader must know about it, in a sentence; empty if it is the row `sgd`.
    """

    label: str | None
    note: str = ""


def time_unit(labels: Sequence[str], finished: Collection[str], comparable: bool) -> TimeUnit:
    """The row of `sgd`, otherwise the first row of `sgd` with options or with a mark of `compare`.

    Args:
        labels: of all methods, in the order of the tables.
        finished: the labels that have seconds.
        comparable: whether all seconds were measured on the same hardware.
    """
    if not comparable:
        return TimeUnit(None, "Times have no ratio, since they were measured on different hardware.")
    plain = [label for label in labels if method_name(label) == _FINE_TUNING]
    known = sorted((label for label in plain if label in finished), key=lambda label: label != _FINE_TUNING)
    if known:
        of_several = f", one of {', '.join(known)}" if len(known) > 1 else ""
        return TimeUnit(
            known[0], "" if known[0] == _FINE_TUNING else f"Times are over those of {known[0]}{of_several}."
        )
    if plain:
        return TimeUnit(None, f"Times have no ratio, since {plain[0]} did not finish.")
    return TimeUnit(None, f"Times have no ratio, since {_FINE_TUNING} is not among the methods.")
