"""Results: all numbers of a run in one object, made once. Tables, figures, page, trackers and Python use it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from benchmark.results.blocks import factors_of
from benchmark.results.columns import AnswerMetric, columns_of
from benchmark.results.fine_tuning import TimeUnit, time_unit
from benchmark.results.kept import KeptAnswers, LastAnswers, class_table
from benchmark.results.matrices import Matrices, accuracy_matrices, repetitions_of
from benchmark.results.paired_tests import Statistics, paired_statistics
from benchmark.results.schema import (
    ACCURACY_COLUMNS,
    CLASS_COLUMNS,
    COMPUTE_COLUMNS,
    PARAMETER_COLUMNS,
    SUMMARY_COLUMNS,
)
from benchmark.results.summary import summary_table
from benchmark.results.tables import (
    accuracy_table,
    by_method,
    compute_table,
    parameter_table,
    read_table,
    task_table,
)
from benchmark.storage.folder import RunFolder
from benchmark.storage.manifest import Manifest
from benchmark.storage.processes import shows_seconds
from benchmark.storage.records import read_records


@dataclass(frozen=True, repr=False)
class Results:
    """The results of a run; results/README.md defines the columns.

    Attributes:
        path: the run's folder.
        manifest: settings, versions, fingerprints, budgets, and the status of each cell: manifest.json as a
            dictionary; its usual entries are attributes too.
        summary: a row per method.
        accuracy: a row per method, seed, order, task evaluated and number of tasks learned.
        parameters, compute: a row per method: storage and compute.
        tasks: a row per task of the stream.
        classes: a row per method, seed, order, task and class: how well it is recognised after the last task learned.
        answers: what each cell answered to each test image after the last task that it learned:
            (label, seed, order) -> place of the task -> its answers, or None if they are not kept.
        matrices: the accuracy matrix of each method's repetitions: label -> (seed, order) -> float [T, T], NaN if
            a task was not evaluated.
        statistics: the methods' ranks, paired tests of their differences, and the conclusions from them.
    """

    path: Path
    manifest: Manifest
    summary: pd.DataFrame
    accuracy: pd.DataFrame
    parameters: pd.DataFrame
    compute: pd.DataFrame
    tasks: pd.DataFrame
    classes: pd.DataFrame
    answers: LastAnswers
    matrices: Matrices
    statistics: Statistics

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The rows of the CSV files, by their names without ".csv"."""
        several = len(self.manifest.orders) > 1
        return {
            "accuracy": self.accuracy if several else self.accuracy.drop(columns="order"),
            "summary": self.summary,
            "parameters": self.parameters,
            "compute": self.compute,
            "tasks": self.tasks,
            "classes": self.classes if several else self.classes.drop(columns="order"),
            "ranks": self.statistics.ranks,
            "statistics": self.statistics.pairs,
        }

    @property
    def over_orders(self) -> bool:
        """Whether repetitions differ in their orders, so that each order has another first task."""
        return "order" in factors_of(repetitions_of(self.matrices))

    @property
    def shows_seconds(self) -> bool:
        """Whether tables show seconds; the CSV files always have them."""
        return shows_seconds(self.manifest)

    @property
    def time_unit(self) -> TimeUnit:
        """The divisor of `normalized_seconds`."""
        return time_unit(self.manifest.labels, set(self.compute["method"]), self.manifest.comparable_seconds)


def collect(run: RunFolder, manifest: Manifest) -> Results:
    """Compute the results of a run from the records of its cells.

    Args:
        run: its folder.
        manifest: its manifest.

    Raises:
        VanishedError: a cell has succeeded, but its measurements are gone.
    """
    kept = _kept(run, manifest)
    records = kept.recounted()
    done = {key: after for key, after in records.items() if len(after) == len(manifest.tasks)}
    if len(done) < len(records):
        run.check_cells(manifest)
    finished = by_method(done)
    return results_of(
        run.path,
        manifest,
        accuracy_table(records, manifest),
        parameter_table(finished, manifest),
        compute_table(finished, manifest),
        kept.last(),
    )


def _kept(run: RunFolder, manifest: Manifest) -> KeptAnswers:
    return KeptAnswers(run, manifest, {key: read_records(run.cell(*key)) for key in manifest.keys_of_cells})


def read(run: RunFolder) -> Results:
    """The results of a run that another process made; it may be finished, interrupted or still going on.

    For a finished run its CSV files are enough for all numbers. If one is missing, damaged or has other columns, they
    are computed again from the cells' records.

    Raises:
        UserError: the folder holds no run.
        VanishedError: measurements are gone.
    """
    manifest = run.read_manifest()
    tables = _read_tables(run.path) if manifest.get("finished") else None
    if tables is None:
        return collect(run, manifest)
    return _with_numbers_of_answers(results_of(run.path, manifest, *tables, _kept(run, manifest).last()))


def _read_tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame] | None:
    """The tables that all others follow from; None if one cannot be read or has other columns."""
    try:
        accuracy, parameters, compute = (
            read_table(folder / f"{name}.csv") for name in ("accuracy", "parameters", "compute")
        )
    except (FileNotFoundError, ValueError):
        return None
    if "order" not in accuracy:
        accuracy["order"] = 0
    expected = ([*ACCURACY_COLUMNS, "order"], list(PARAMETER_COLUMNS), list(COMPUTE_COLUMNS))
    if [list(frame) for frame in (accuracy, parameters, compute)] != list(expected):
        return None
    return accuracy, parameters, compute


def _with_numbers_of_answers(results: Results) -> Results:
    """The results with those numbers from the CSV files that no other table holds, since answers may be gone."""
    try:
        summary, classes = (read_table(results.path / f"{name}.csv") for name in ("summary", "classes"))
    except (FileNotFoundError, ValueError):
        return results
    if "order" not in classes:
        classes.insert(CLASS_COLUMNS.index("order"), "order", 0)
    expected = (list(SUMMARY_COLUMNS), list(CLASS_COLUMNS), list(results.summary["method"]))
    if (list(summary), list(classes), list(summary["method"])) != expected:
        return results
    numbers = [column.name for column in columns_of("summary") if isinstance(column, AnswerMetric)]
    return replace(results, summary=results.summary.assign(**summary[numbers]), classes=classes)


def results_of(
    path: Path,
    manifest: Manifest,
    accuracy: pd.DataFrame,
    parameters: pd.DataFrame,
    compute: pd.DataFrame,
    last: LastAnswers | None = None,
) -> Results:
    """The results that follow from the measurements.

    Args:
        path: of the run's folder.
        manifest: of the run.
        accuracy: the rows of accuracy.csv, and `order`.
        parameters, compute: the rows of the CSV files of these names.
        last: the answers that are kept.
    """
    last = last or {}
    matrices = accuracy_matrices(accuracy, manifest.labels, len(manifest.tasks))
    return Results(
        path=path,
        manifest=manifest,
        summary=summary_table(matrices, parameters, compute, manifest.statuses, last),
        accuracy=accuracy,
        parameters=parameters,
        compute=compute,
        tasks=task_table(manifest),
        classes=class_table(last, manifest),
        answers=last,
        matrices=matrices,
        statistics=paired_statistics(matrices, manifest.reference, manifest.bounds),
    )
