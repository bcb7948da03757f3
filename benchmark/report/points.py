"""The points of the charts of accuracy against a cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.results.questions import asked
from benchmark.results.run import Results


@dataclass(frozen=True)
class Spot:
    """Where an answer of a method stands: its average accuracy after the last task, a fraction, and its cost.

    Attributes:
        oracle: whether the task of each image is known, or no method has an answer with the oracle to set beside it.
    """

    accuracy: float
    cost: float
    oracle: bool


@dataclass(frozen=True)
class Point:
    """A method in a scatter.

    Attributes:
        method: its label.
        main: where its main answer stands.
        other: where its answer stands that differs in knowing the task; None if it has none.
        interval: half the 95 % confidence interval of the main accuracy; NaN if repetitions are too few for one.
        repeated: their accuracies in that case, if there are several.
    """

    method: str
    main: Spot
    other: Spot | None
    interval: float
    repeated: tuple[float, ...]

    @property
    def spots(self) -> list[Spot]:
        return [self.main] if self.other is None else [self.main, self.other]


def points_of(results: Results, cost: str) -> list[Point]:
    """The methods that finished, in the order of the tables.

    Args:
        results: of the run.
        cost: a column of summary.csv.
    """
    others = {(row["method"], row["answer"]): row for row in results.other_answers.to_dict("records")}
    points = []
    for row in results.summary.to_dict("records"):
        if math.isnan(row["average_accuracy"]) or math.isnan(row[cost]):
            continue
        question = asked(results.manifest, row["method"])
        other = others.get((row["method"], question.counterpart))
        known = other is not None and not math.isnan(other["average_accuracy"]) and not math.isnan(other[cost])
        few = results.repeated.get((row["method"], "average_accuracy"))
        points.append(
            Point(
                row["method"],
                _spot(row, cost, question.main not in question.without_oracle or not question.oracle),
                _spot(other, cost, other["answer"] not in question.without_oracle) if other and known else None,
                row["average_accuracy_ci95"] if few is None else math.nan,
                few if few and len(few) > 1 else (),
            )
        )
    return points


def _spot(row: Mapping[str, Any], cost: str, oracle: bool) -> Spot:
    return Spot(float(row["average_accuracy"]), max(0.0, float(row[cost])), oracle)
