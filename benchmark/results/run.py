"""Results: all numbers of a run in one object, made once. Tables, figures, page, trackers and Python use it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from benchmark.results.blocks import factors_of
from benchmark.results.chance import Chance
from benchmark.results.columns import AnswerMetric, columns_of
from benchmark.results.efficiency import efficiency_table
from benchmark.results.fine_tuning import TimeUnit, time_unit
from benchmark.results.inference import (
    MEASURED,
    Guesses,
    guesses_of,
    inference_repeated,
    inference_table,
    measured_inference,
)
from benchmark.results.kept import AllLastAnswers, KeptAnswers, LastAnswers, Losses, class_table
from benchmark.results.matrices import Matrices, answer_matrices, repetitions_of
from benchmark.results.paired_tests import Statistics, paired_statistics
from benchmark.results.questions import asked, rule_of
from benchmark.results.repeated import Repeated
from benchmark.results.reproduction import reproduction_table
from benchmark.results.schema import (
    ACCURACY_COLUMNS,
    ALL_ACCURACY_COLUMNS,
    CLASS_COLUMNS,
    COMPUTE_COLUMNS,
    EPOCH_COLUMNS,
    INFERENCE_COLUMNS,
    PARAMETER_COLUMNS,
    SUMMARY_COLUMNS,
)
from benchmark.results.summary import Answered, summary_repeated, summary_table
from benchmark.results.tables import (
    accuracy_table,
    by_method,
    compute_table,
    parameter_table,
    read_table,
    task_table,
)
from benchmark.storage.folder import RunFolder
from benchmark.storage.labels import TaskLabels
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
        summary: a row per method, about its main answer: that of the run's scenario, or else what it answers if the
            first rule of task inference guesses the task.
        other_answers: rows of the same columns about the other answers of each method; summary.csv has them at its end.
        inference: a row per method and way to answer without knowing the task, with and without the task oracle.
        accuracy: a row per method, seed, order, answer, task evaluated and number of tasks learned. The answers that
            the networks themselves give come first.
        parameters, compute: a row per method: storage and compute.
        tasks: a row per task of the stream.
        classes: a row per method, seed, order, task and class: how well it is recognised after the last task learned.
        epochs: a row per method, seed, order and task where validation images decided how long it was learned.
        answers: what each cell answered to each test image after the last task that it learned (its main answer):
            (label, seed, order) -> place of the task -> its answers, or None if they are not kept.
        guesses: where tasks compete, how often images of a task were taken for those of another one:
            (label, name of the answers) -> (label, seed, order) -> int [T, T], by place; a row for each true task.
        matrices: for the main answer, the accuracy matrix of each method's repetitions: label -> (seed, order) ->
            float [T, T], NaN if a task was not evaluated.
        statistics: the methods' ranks, paired tests of their differences, and the conclusions from them.
        chance: what can be reached without looking at an image.
        repeated: each value behind the means of `summary` and `inference`, if they are too few for an interval.
        reproduction: a row per published number that the run is to reproduce (`reproduce`); none in other runs.
        losses: the mean training loss of each epoch of each task, of each cell whose records are there.
    """

    path: Path
    manifest: Manifest
    summary: pd.DataFrame
    other_answers: pd.DataFrame
    inference: pd.DataFrame
    accuracy: pd.DataFrame
    parameters: pd.DataFrame
    compute: pd.DataFrame
    tasks: pd.DataFrame
    classes: pd.DataFrame
    epochs: pd.DataFrame
    answers: LastAnswers
    guesses: Guesses
    matrices: Matrices
    statistics: Statistics
    chance: Chance
    repeated: Repeated
    reproduction: pd.DataFrame
    losses: Losses = field(default_factory=dict)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The rows of the CSV files, by their names without ".csv"."""
        several = len(self.manifest.orders) > 1
        tables = {
            "accuracy": self.accuracy if several else self.accuracy.drop(columns="order"),
            "summary": _stacked(self.summary, self.other_answers),
            "parameters": self.parameters,
            "compute": self.compute,
            "efficiency": self.efficiency,
            "tasks": self.tasks,
            "classes": self.classes if several else self.classes.drop(columns="order"),
            "ranks": self.statistics.ranks,
            "statistics": self.statistics.pairs,
        }
        epochs = self.epochs if several else self.epochs.drop(columns="order")
        more = {"epochs": epochs, "inference": self.inference, "reproduction": self.reproduction}
        return tables | {name: frame for name, frame in more.items() if not frame.empty}

    @property
    def efficiency(self) -> pd.DataFrame:
        """A row per method and answer: what is reached with what is stored and computed."""
        return efficiency_table(_stacked(self.summary, self.other_answers), self.compute, self.manifest)

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
        accuracy_table(records, manifest, kept.accuracies_of_others()),
        parameter_table(finished, manifest),
        compute_table(finished, manifest),
        kept.last(),
        costs=kept.costs_of_inference(),
        labels=kept.labels,
        epochs=kept.epochs(),
        losses=kept.losses,
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
    tables = _read_tables(run.path, manifest.kept) if manifest.get("finished") else None
    if tables is None or ("answer" not in tables[0] and _keeps_others(run, manifest)):
        return collect(run, manifest)
    kept = _kept(run, manifest)
    inference = _table_with(run.path / "inference.csv", INFERENCE_COLUMNS, manifest.kept)
    # Those of its columns that no other table holds.
    measured = None if inference is None else inference[list(MEASURED)]
    costs = kept.costs_of_inference() if measured is None else None
    epochs = _read_epochs(run.path) if manifest.kept else kept.epochs()
    return _with_numbers_of_answers(
        results_of(
            run.path,
            manifest,
            *tables,
            kept.last(),
            costs=costs,
            measured=measured,
            labels=kept.labels,
            epochs=epochs,
            losses=kept.losses,
        ),
    )


def _read_epochs(folder: Path) -> pd.DataFrame:
    """The table of epochs from its CSV file; without rows if there is none."""
    epochs = _table(folder / "epochs.csv")
    if epochs is None:
        return pd.DataFrame(columns=list(EPOCH_COLUMNS))
    return epochs if "order" in epochs else epochs.assign(order=0)[list(EPOCH_COLUMNS)]


def _keeps_others(run: RunFolder, manifest: Manifest) -> bool:
    """Whether records tell of answers that the accuracy.csv of an earlier version left out."""
    return any(len(asked(manifest, key[0]).all) > 1 and run.cell(*key).is_dir() for key in manifest.keys_of_cells)


def _read_tables(folder: Path, kept: bool) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame] | None:
    """The tables that all others follow from; None if one cannot be read or has other columns."""
    parameters = _table_with(folder / "parameters.csv", PARAMETER_COLUMNS, kept)
    compute = _table_with(folder / "compute.csv", COMPUTE_COLUMNS, kept)
    accuracy = _table(folder / "accuracy.csv")
    if accuracy is None or parameters is None or compute is None:
        return None
    if "order" not in accuracy:
        accuracy.insert(min(len(accuracy.columns), len(ACCURACY_COLUMNS)), "order", 0)
    # An earlier version wrote no names of answers.
    if tuple(accuracy) != ALL_ACCURACY_COLUMNS[: len(accuracy.columns)]:
        return None
    return accuracy, parameters, compute


def _table(path: Path) -> pd.DataFrame | None:
    """A table from its CSV file; None if that is missing or damaged."""
    try:
        return read_table(path)
    except (FileNotFoundError, ValueError):
        return None


def _table_with(path: Path, columns: Sequence[str], kept: bool = False) -> pd.DataFrame | None:
    """A table from its CSV file; None if that is missing or damaged, or has other columns.

    Args:
        path: of the file.
        columns: those that it must have.
        kept: whether the columns that came later may be missing; they are NaN then, because a kept run has no records
            from which the table could be made again.
    """
    table = _table(path)
    if table is not None and kept and tuple(table) == tuple(name for name in columns if name in table):
        return table.reindex(columns=list(columns))
    return table if table is not None and tuple(table) == tuple(columns) else None


def _with_numbers_of_answers(results: Results) -> Results:
    """The results with those numbers from the CSV files that no other table holds, since answers may be gone."""
    return _with_classes(_with_summary(results))


def _with_summary(results: Results) -> Results:
    """The results with the numbers about answers in summary.csv, if it has the columns and rows of these results."""
    summary = _table_with(results.path / "summary.csv", SUMMARY_COLUMNS, results.manifest.kept)
    main, others = results.summary, results.other_answers
    same = _stacked(main, others)[["method", "answer"]]
    if summary is None or not same.equals(summary[["method", "answer"]]):
        return results
    numbers = [column.name for column in columns_of("summary") if isinstance(column, AnswerMetric)]
    known = summary[numbers]
    return replace(
        results,
        summary=main.assign(**known[: len(main)]),
        other_answers=others.assign(**known[len(main) :].reset_index(drop=True)),
    )


def _with_classes(results: Results) -> Results:
    """The results with the rows of classes.csv, if it has the columns of today."""
    several = len(results.manifest.orders) > 1
    columns = CLASS_COLUMNS if several else tuple(name for name in CLASS_COLUMNS if name != "order")
    classes = _table_with(results.path / "classes.csv", columns)
    if classes is None:
        return results
    if not several:
        classes.insert(CLASS_COLUMNS.index("order"), "order", 0)
    return replace(results, classes=classes)


def _stacked(main: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """The rows of both; pandas takes an empty table for one of unknown types."""
    return main if others.empty else pd.concat([main, others], ignore_index=True)


def results_of(
    path: Path,
    manifest: Manifest,
    accuracy: pd.DataFrame,
    parameters: pd.DataFrame,
    compute: pd.DataFrame,
    last: AllLastAnswers | None = None,
    costs: pd.DataFrame | None = None,
    measured: pd.DataFrame | None = None,
    labels: Mapping[int, TaskLabels | None] | None = None,
    epochs: pd.DataFrame | None = None,
    losses: Losses | None = None,
) -> Results:
    """The results that follow from the measurements.

    Args:
        path: of the run's folder.
        manifest: of the run.
        accuracy: the rows of accuracy.csv, and `order`. Without `answer`, all are about the methods' own answers.
        parameters, compute: the rows of the CSV files of these names.
        last: the answers that are kept.
        costs: those of task inference.
        measured: the measured columns of inference.csv; None if they are made from `last` and `costs`.
        labels: the right answers to the test images of each task, as far as they are kept.
        epochs: the rows of epochs.csv, and `order`; None for no rows.
        losses: those of the cells, as far as they are kept.
    """
    last = last or {}
    questions = {label: asked(manifest, label) for label in manifest.labels}
    if "answer" not in accuracy:
        own = {label: question.own for label, question in questions.items()}
        accuracy = accuracy.assign(answer=accuracy["method"].map(own))
    of_answers = answer_matrices(accuracy, manifest.labels, len(manifest.tasks))
    matrices = {label: of_answers.get((label, question.main), {}) for label, question in questions.items()}
    factors = factors_of(repetitions_of(matrices))
    guesses, statuses = guesses_of(last, manifest), manifest.statuses
    if measured is None:
        measured = measured_inference(guesses, pd.DataFrame() if costs is None else costs, compute, manifest, factors)
    rule_bytes = {(row["method"], row["rule"]): row["kept_bytes"] for row in measured.to_dict("records")}

    def answered(label: str, name: str) -> Answered:
        return Answered(
            label,
            name,
            statuses[label],
            of_answers.get((label, name), {}),
            {key[1:]: named.get(name, {}) for key, named in last.items() if key[0] == label},
            rule_bytes.get((label, rule_of(name)), math.nan) if rule_of(name) else 0,
        )

    others = [
        answered(label, name)
        for label, question in questions.items()
        for name in question.all[1:]
        if (label, name) in of_answers
    ]
    main = [answered(label, question.main) for label, question in questions.items()]
    backbone_bytes = manifest.get("backbone", {}).get("bytes") or math.nan
    chance = Chance(manifest, labels or {})
    summary, other_answers = (
        summary_table(rows, parameters, compute, factors, backbone_bytes, chance) for rows in (main, others)
    )
    by_chance = summary.loc[summary["at_chance"].eq(True), "method"]
    main_last = {key: named.get(questions[key[0]].main, {}) for key, named in last.items()}
    return Results(
        path=path,
        manifest=manifest,
        summary=summary,
        other_answers=other_answers,
        inference=inference_table(measured, of_answers, manifest, factors),
        accuracy=accuracy,
        parameters=parameters,
        compute=compute,
        tasks=task_table(manifest),
        classes=class_table(main_last, manifest),
        epochs=pd.DataFrame(columns=list(EPOCH_COLUMNS)) if epochs is None else epochs,
        answers=main_last,
        guesses=guesses,
        matrices=matrices,
        statistics=paired_statistics(matrices, manifest.reference, manifest.bounds, list(by_chance)),
        chance=chance,
        repeated={
            **summary_repeated(matrices, factors),
            **inference_repeated(guesses, of_answers, manifest, factors),
        },
        reproduction=reproduction_table(manifest, of_answers, (parameters, compute), factors),
        losses=losses or {},
    )
