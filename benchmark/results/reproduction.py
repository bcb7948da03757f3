"""reproduction.csv: the published numbers that a run reproduces, its own, and how they compare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from benchmark.results.blocks import Block, block_means, interval_95
from benchmark.results.columns import AccuracyMetric, Column, CostMetric, columns_of
from benchmark.results.matrices import AnswerMatrices, finished_of
from benchmark.results.metrics import Repetition
from benchmark.results.schema import REPRODUCTION_COLUMNS
from benchmark.results.verdicts import Sample, judge
from benchmark.storage.manifest import Manifest
from benchmark.storage.published import Published, Target
from methods.errors import UserError

#: The tables with columns that a published number may be about.
_TABLES = ("summary", "parameters", "compute")

_WORDS = ("part", "row", "method", "answer", "metric", "spread_is", "verdict", "rule", "definition")


def reproducible_metrics() -> dict[str, Column]:
    """Name -> column of each number that a target may have: accuracies, and costs that nothing but the network decides.

    Seconds and other measured costs depend on the machine, so that nobody else can reproduce them.
    """
    columns = [column for table in _TABLES for column in columns_of(table)]
    return {
        column.name: column
        for column in columns
        if isinstance(column, AccuracyMetric) or (isinstance(column, CostMetric) and not column.measured)
    }


def is_fraction(metric: str) -> bool:
    """Whether a column's numbers are fractions, which readers see in per cent."""
    return reproducible_metrics()[metric].form == "percent"


def published_of(manifest: Manifest) -> Published | None:
    """The published numbers that a run is to reproduce; None for an ordinary run.

    Numbers about columns that this version of the program does not have are left out.

    Raises:
        UserError: the manifest does not say what is needed of them.
    """
    content = manifest.get("reproduces")
    if content is None:
        return None
    try:
        published = Published.from_json(content)
    except (KeyError, TypeError):
        raise UserError(
            "the run's manifest.json has an entry 'reproduces' that `reproduce` did not write; its command, given "
            "again, writes it anew"
        ) from None
    metrics = reproducible_metrics()
    return replace(published, targets=tuple(target for target in published.targets if target.metric in metrics))


def reproduction_table(
    manifest: Manifest, matrices: AnswerMatrices, costs: Sequence[pd.DataFrame], factors: Sequence[Block]
) -> pd.DataFrame:
    """The rows of reproduction.csv; none for an ordinary run.

    Args:
        manifest: of the run.
        matrices: the accuracy matrices of all answers.
        costs: the rows of parameters.csv and of compute.csv.
        factors: what the repetitions of the run differ in.
    """
    published = published_of(manifest)
    rows = []
    for target in published.targets if published else ():
        values = _values(target, matrices, costs)
        rows.append({"part": published.part if published else ""} | _row(target, values, factors))
    table = pd.DataFrame(rows, columns=list(REPRODUCTION_COLUMNS))
    return table.astype({name: float for name in REPRODUCTION_COLUMNS if name not in _WORDS})


def _values(
    target: Target, matrices: AnswerMatrices, costs: Sequence[pd.DataFrame]
) -> Mapping[Repetition, float] | float:
    """The value of each repetition that finished; or one for all, if it is the same in all; NaN without any."""
    metric = reproducible_metrics()[target.metric]
    if isinstance(metric, AccuracyMetric):
        finished = finished_of(matrices.get((target.method, target.answer), {}))
        return {repetition: metric.formula(R) for repetition, R in finished.items()} or math.nan
    for frame in costs:
        own = frame[frame["method"] == target.method]
        if target.metric in own and len(own):
            return float(own.iloc[0][target.metric])
    return math.nan


def _row(target: Target, values: Mapping[Repetition, float] | float, factors: Sequence[Block]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "row": target.row,
        "method": target.method,
        "answer": target.answer,
        "metric": target.metric,
        "published": target.value,
        "published_spread": target.spread,
        "spread_is": target.spread_is or "",
        "published_repetitions": target.repetitions,
        "verdict": "not run",
        "rule": "none",
        "definition": target.definition,
    }
    if isinstance(values, float):
        samples, half = [Sample(values)], math.nan
    else:
        samples = [Sample.of(list(map(float, block_means(values, factor).values()))) for factor in factors]
        half = interval_95(values, factors)
    # Forgetting and its like are not defined for one task.
    if math.isnan(samples[0].mean):
        return row
    # If repetitions differ in seeds and orders, the wider interval counts.
    pairs = [(sample, judge(sample, target, _rounding(target))) for sample in samples]
    ours, judged = max(pairs, key=lambda pair: pair[1].half)
    return row | {
        "ours": ours.mean,
        "ours_ci95": half,
        "our_spread": ours.spread(target.spread_is or "sd"),
        "our_repetitions": ours.count,
        "difference": judged.difference,
        "difference_ci95": judged.half,
        "verdict": judged.verdict,
        "rule": judged.rule,
    }


def _rounding(target: Target) -> float:
    """Half a unit of the last digit that the source prints."""
    half = 0.5 * 10.0**-target.digits
    return half / 100 if is_fraction(target.metric) else half
