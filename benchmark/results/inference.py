"""inference.csv: accuracy with and without the task oracle, and what guessing the task costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.results import metrics
from benchmark.results.answers import task_confusion, task_inference_accuracy
from benchmark.results.blocks import Block, interval_95, mean_over_blocks
from benchmark.results.kept import AllLastAnswers
from benchmark.results.matrices import AnswerMatrices, finished_of
from benchmark.results.metrics import Array, Repetition
from benchmark.results.questions import JOINT, asked, rule_of
from benchmark.results.repeated import Repeated, too_few
from benchmark.results.schema import INFERENCE_COLUMNS
from benchmark.storage.manifest import Manifest
from benchmark.storage.records import CellKey

_COSTS = ("kept_bytes", "inference_flops_per_image", "normalized_inference", "evaluations", "frozen_evaluations")

#: The columns that follow from the files of the cells, and from no other table.
MEASURED = ("method", "rule", "task_inference_accuracy", "task_inference_accuracy_ci95", *_COSTS)

#: How often images of a task (row, by place) were taken for those of a task (column): int64 [T, T].
Counts: TypeAlias = npt.NDArray[np.int64]

#: Label of a method and name of its answers -> of each cell, how often images of a task were taken for another's.
Guesses = Mapping[tuple[str, str], Mapping[CellKey, Counts]]


def guesses_of(last: AllLastAnswers, manifest: Manifest) -> Guesses:
    """The confusion of tasks, int64 [T, T] by place, for all answers that may belong to any task."""
    found: dict[tuple[str, str], dict[CellKey, Counts]] = {}
    for key, named in last.items():
        for name, tasks in named.items():
            if any(marked is not None and marked.tasks is not None for marked in tasks.values()):
                found.setdefault((key[0], name), {})[key] = task_confusion(tasks, len(manifest.tasks))
    return found


def measured_inference(
    guesses: Guesses, costs: pd.DataFrame, compute: pd.DataFrame, manifest: Manifest, factors: Sequence[Block]
) -> pd.DataFrame:
    """The columns MEASURED of inference.csv: a row for each method and way to answer without knowing the task.

    Args:
        guesses: of the run.
        costs: a row for each method and rule, as KeptAnswers.costs_of_inference gives them.
        compute: the rows of compute.csv.
        factors: what the repetitions of the run differ in.
    """
    of_rule = {(row["method"], row["rule"]): row for row in costs.to_dict("records")}
    passes = ["inference_flops_per_image", "normalized_inference"]
    of_method = compute.set_index("method").reindex(columns=passes).to_dict("index")
    nothing = dict.fromkeys(("kept_bytes", "evaluations", "frozen_evaluations"), 0)
    rows = []
    for label in manifest.labels:
        for name in asked(manifest, label).without_oracle:
            rule = rule_of(name)
            row: dict[str, Any] = {"method": label, "rule": rule or JOINT[name]}
            row |= _guessed_right(guesses.get((label, name), {}), factors)
            if rule is None:
                row |= nothing | of_method[label] if label in of_method else {}
            elif (label, rule) in of_rule:
                own = of_rule[label, rule]
                row |= {cost: own[cost] for cost in _COSTS if cost in own}
                row["normalized_inference"] = own["inference_flops_per_image"] / own["bare"]
            rows.append(row)
    return pd.DataFrame(rows, columns=list(MEASURED))


def _guessed_right(guesses: Mapping[CellKey, Counts], factors: Sequence[Block]) -> dict[str, float]:
    return _with_interval("task_inference_accuracy", _finished_guesses(guesses), factors)


def _finished_guesses(guesses: Mapping[CellKey, Counts]) -> dict[Repetition, float]:
    """The share of tasks guessed right, of the repetitions that finished."""
    values = {key[1:]: task_inference_accuracy(confusion) for key, confusion in guesses.items()}
    return {repetition: value for repetition, value in values.items() if not math.isnan(value)}


def inference_table(
    measured: pd.DataFrame, matrices: AnswerMatrices, manifest: Manifest, factors: Sequence[Block]
) -> pd.DataFrame:
    """The rows of inference.csv, for the answers of which there are accuracies.

    Args:
        measured: the columns MEASURED.
        matrices: of all answers.
        factors: what the repetitions of the run differ in.
    """
    of_way = {(row["method"], row["rule"]): row for row in measured.to_dict("records")}
    rows = []
    for label in manifest.labels:
        question = asked(manifest, label)
        oracle = finished_of(matrices.get((label, question.oracle or ""), {}))
        for name in question.without_oracle:
            if (label, name) in matrices:
                rule, without = rule_of(name) or JOINT[name], finished_of(matrices[label, name])
                way = of_way.get((label, rule), {"method": label, "rule": rule})
                rows.append(way | _accuracies(oracle, without, factors))
    table = pd.DataFrame(rows, columns=list(INFERENCE_COLUMNS))
    return table.astype({name: float for name in INFERENCE_COLUMNS if name not in ("method", "rule")})


def inference_repeated(
    guesses: Guesses, matrices: AnswerMatrices, manifest: Manifest, factors: Sequence[Block]
) -> Repeated:
    """For the columns of inference.csv with an interval: each value of the rows with too few blocks for one.

    Args:
        guesses, matrices: of all answers.
        manifest: of the run.
        factors: what the repetitions of the run differ in.
    """
    repeated: dict[tuple[str, ...], tuple[float, ...]] = {}
    for label in manifest.labels:
        question = asked(manifest, label)
        oracle = finished_of(matrices.get((label, question.oracle or ""), {}))
        for name in question.without_oracle:
            values = _values(oracle, finished_of(matrices.get((label, name), {})))
            values["task_inference_accuracy"] = _finished_guesses(guesses.get((label, name), {}))
            repetitions = values["accuracy_inferred"]
            if repetitions and too_few(repetitions, factors):
                row = label, rule_of(name) or JOINT[name]
                repeated |= {(*row, column): tuple(own.values()) for column, own in values.items()}
    return repeated


def _accuracies(
    oracle: Mapping[Repetition, Array], without: Mapping[Repetition, Array], factors: Sequence[Block]
) -> dict[str, float]:
    row: dict[str, float] = {}
    for name, values in _values(oracle, without).items():
        row |= _with_interval(name, values, factors)
    return row


def _values(
    oracle: Mapping[Repetition, Array], without: Mapping[Repetition, Array]
) -> dict[str, dict[Repetition, float]]:
    """Accuracy with the oracle and without it, and the gap, of the repetitions that have both."""
    inferred = {repetition: metrics.average_accuracy(R) for repetition, R in without.items()}
    known = {repetition: metrics.average_accuracy(R) for repetition, R in oracle.items() if repetition in inferred}
    if known:
        inferred = {repetition: inferred[repetition] for repetition in known}
    gaps = {repetition: value - inferred[repetition] for repetition, value in known.items()}
    return {"accuracy_with_oracle": known, "accuracy_inferred": inferred, "gap": gaps}


def _with_interval(name: str, values: Mapping[Repetition, float], factors: Sequence[Block]) -> dict[str, float]:
    if not values:
        return {}
    return {name: mean_over_blocks(values, factors[0]), f"{name}_ci95": interval_95(values, factors)}
