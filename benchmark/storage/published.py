"""Published numbers that a run is to reproduce, as its manifest keeps them. This module imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

#: What a published "±" is: the standard deviation of the repetitions, the standard error of their mean, or half its
#: 95 % confidence interval.
SpreadKind = Literal["sd", "se", "ci95"]


@dataclass(frozen=True)
class Target:
    """One published number.

    Attributes:
        row: its method's name in the protocol.
        method: the label of the method in the run.
        answer: the name of the answers that it is about, see results/questions.py.
        metric: a column of summary.csv, parameters.csv or compute.csv.
        value: the number, in the unit of that column.
        digits: how many digits the source prints after the point, in per cent where the column is a fraction.
        bound: whether the source says only that the number is below `value`.
        spread: what the source prints behind ±, in the unit of the column; None if it prints nothing.
        spread_is: what that is.
        repetitions: how many runs the number is a mean of; None if the source does not say.
        tolerance: the largest difference that counts as none, where the source has no spread; None for no such rule.
        definition: what exactly was measured, in words.
    """

    row: str
    method: str
    answer: str
    metric: str
    value: float
    digits: int = 0
    bound: bool = False
    spread: float | None = None
    spread_is: SpreadKind | None = None
    repetitions: int | None = None
    tolerance: float | None = None
    definition: str = ""


@dataclass(frozen=True)
class Published:
    """The published numbers that one run is to reproduce.

    Attributes:
        protocol: the name of the protocol.
        part: the name of the protocol's part that the run is; empty if it has one part.
        title: what is reproduced.
        source: who published the numbers, and where.
        targets: the numbers.
        differs: what the run does otherwise than the source, a sentence each.
        departures: what this run does otherwise than the protocol says, a sentence each.
    """

    protocol: str
    part: str
    title: str
    source: str
    targets: tuple[Target, ...]
    differs: tuple[str, ...] = ()
    departures: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """What `as_json` gave, from the manifest."""
        known = _known(cls, content)
        known["targets"] = tuple(Target(**_known(Target, each)) for each in content["targets"])
        values: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in known.items()}
        return cls(**values)


def _known(cls: type[Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that a class has; those of a later version are left out."""
    return {field.name: content[field.name] for field in fields(cls) if field.name in content}
