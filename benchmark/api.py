"""The benchmark from Python: what the command line does, with results as pandas frames."""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.backbones import backbones
from benchmark.cli.main import parse, run_folder, run_options
from benchmark.config import Execution, Settings
from benchmark.planning.preparation import prepare_run
from benchmark.progress.notebook import loading, progress_bars
from benchmark.report.table import Table
from benchmark.report.tables import budgets_display, summary_display
from benchmark.report.text import to_text
from benchmark.results.older import completed
from benchmark.results.paired_tests import Statistics, run_statistics
from benchmark.results.schema import PARAMETER_COLUMNS, SUMMARY_COLUMNS
from benchmark.results.summary import summary_table
from benchmark.results.tables import collect, read_table, statuses
from benchmark.running.manifest import planned_cells
from benchmark.running.runner import run as learn
from benchmark.storage.folder import RunFolder
from benchmark.streams import streams
from benchmark.workers import warm_up
from methods import methods as registered
from methods.errors import UserError
from methods.method import Method
from methods.options import join_specs, parse_spec
from methods.registry import Registry, load_plugin

__all__ = ["Results", "UserError", "load_results", "run"]

# Options that several values of Python make several times, instead of once with commas.
_REPEATED = {"plugin"}
# Options whose contrary can be asked for.
_DENIABLE = {"parallel_tasks"}


@dataclass(frozen=True, repr=False)
class Results:
    """What a run has left behind; results/README.md defines the columns.

    Attributes:
        path: the run's folder.
        manifest: settings, versions, fingerprints, budgets, and the status of each cell.
        summary: a row per method.
        accuracy: a row per method, seed, order, task evaluated and number of tasks learned.
        parameters, compute: a row per method: storage and compute.
        tasks: a row per task of the stream.
    """

    path: Path
    manifest: dict[str, Any]
    summary: pd.DataFrame
    accuracy: pd.DataFrame
    parameters: pd.DataFrame
    compute: pd.DataFrame
    tasks: pd.DataFrame

    @property
    def statistics(self) -> Statistics:
        """The methods' ranks, paired tests of their differences, and what these allow to say."""
        return run_statistics(self.manifest, self.accuracy)

    def __repr__(self) -> str:
        return f"{self.path}\n\n{to_text(self._summary())}"

    def _repr_html_(self) -> str:
        """The summary, as a notebook shows it."""
        table = self._summary()
        rows = [[_bold(html.escape(cell.text), cell.best) for cell in row] for row in table.rows]
        frame = pd.DataFrame(rows, columns=[html.escape(header) for header in table.headers])
        return f"<p>{html.escape(table.caption)}</p>{frame.to_html(index=False, escape=False)}"

    def _summary(self) -> Table:
        return summary_display(self.summary, self.statistics, budgets_display(self.manifest))


def run(methods: str | type[Method] | Iterable[str | type[Method]], stream: str = "mini", **options: Any) -> Results:
    """Learn a stream of tasks with each method, as `python -m benchmark run` does, and read the results.

    In a script, this needs `if __name__ == "__main__":`, as always in Python where processes are started.

    Args:
        methods: specifications, `["clr", "ewc:strength=500"]` or `"clr,ewc"`, or classes that were registered.
        stream: a specification.
        options: those of the command line, with underscores: `backbone="resnet18"`, `seeds=3` or `seeds=[4, 7]`,
            `epochs=2`, `equal_memory="clr"`, `name="mine"`, `out="results"`, `jobs=2`, and so on. Of what a notebook
            itself has registered no worker knows: such runs have one job.

    Raises:
        UserError: something cannot be used, and nothing was learned; or what was learned cannot be written.
    """
    command = as_command(methods, stream=stream, **options)
    settings, execution, folder = understand(command)
    if execution.executor == "local" and execution.jobs != 1:
        warm_up()
    with loading() as (note, warn):
        prepared = prepare_run(settings, note, warn=warn)
    with progress_bars(prepared.epochs_in_all(planned_cells(settings, RunFolder(folder)))) as progress:
        learn(prepared, execution, folder, command, progress)
    return load_results(folder)


def load_results(path: str | PathLike[str]) -> Results:
    """Read a run: finished, interrupted or still going on, of this version or an older one.

    Args:
        path: of its folder, or its name in results/.

    Raises:
        UserError: there is no such run, or it cannot be read.
    """
    folder = RunFolder(run_folder("load_results", str(path)))
    manifest = completed(folder.read_manifest())
    frames = _read_tables(folder) if manifest.get("finished") else None
    if frames is None:
        tables = collect(folder, manifest)
        frames = {name: getattr(tables, name) for name in ("accuracy", "parameters", "compute", "tasks")}
        frames["summary"] = summary_table(
            tables.accuracy, tables.parameters, tables.compute, statuses(manifest), len(tables.tasks)
        )
    # What older versions did not write: there was one order, nothing was computed once, and the rest is not known.
    for name, column, value in (("accuracy", "order", 0), ("compute", "features_cached", False)):
        if column not in frames[name]:
            frames[name][column] = value
    for name, columns in (("summary", SUMMARY_COLUMNS), ("parameters", PARAMETER_COLUMNS)):
        frames[name] = frames[name].reindex(columns=list(columns))
    return Results(folder.path, manifest, **frames)


def _read_tables(folder: RunFolder) -> dict[str, pd.DataFrame] | None:
    """The CSV files of a finished run; None if one cannot be read, and all follow from the cells' records."""
    try:
        return {
            name: read_table(folder.path / f"{name}.csv")
            for name in ("summary", "accuracy", "parameters", "compute", "tasks")
        }
    except (FileNotFoundError, ValueError):
        return None


class _Parser(argparse.ArgumentParser):
    """Takes whole names only, and raises what is wrong instead of ending the process."""

    def __init__(self, **options: Any):
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> Any:
        raise UserError(f"run: {message}")


def understand(command: list[str]) -> tuple[Settings, Execution, Path]:
    """The settings, the way to run, and the folder that a command line means here.

    Raises:
        UserError: it cannot be used.
    """
    arguments = parse(command, _Parser)
    for path in arguments.plugin or ():
        load_plugin(path)
    settings, execution, folder = run_options(arguments)
    return settings, _reachable(settings, execution), folder


def as_command(methods: str | type[Method] | Iterable[str | type[Method]], **options: Any) -> list[str]:
    """The command line that means the same as keywords.

    Raises:
        UserError: a class among the methods was not registered.
    """
    listed = [methods] if isinstance(methods, type) else methods
    # A text is a list already, as on the command line.
    text = listed if isinstance(listed, str) else join_specs(map(_specification, listed))
    command = ["run", f"--methods={text}"]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is None or (value is False and name not in _DENIABLE):
            continue
        if isinstance(value, bool):
            command.append(option if value else f"--no-{option.removeprefix('--')}")
        elif isinstance(value, Iterable) and not isinstance(value, str):
            texts = list(map(str, value))
            # The comma at the end tells a list of one seed from a number of seeds.
            command += [f"{option}={text}" for text in (texts if name in _REPEATED else [",".join(texts) + ","])]
        else:
            command.append(f"{option}={value}")
    return command


def _specification(method: str | type[Method]) -> str:
    """A method as --methods has it.

    Raises:
        UserError: a class that was not registered.
    """
    if isinstance(method, str):
        return method
    name = getattr(method, "name", None)
    # A class also has the name of the registered one that it is derived from.
    if name is None or registered.get(name) is not method:
        raise UserError(
            f'methods: {method.__name__} is not registered; write @methods.register("its-name") above the class'
        )
    return name


def _reachable(settings: Settings, execution: Execution) -> Execution:
    """One job where workers could not import what the run needs.

    Raises:
        UserError: more were asked for.
    """
    wanted: list[tuple[Registry[Any], str]] = [(registered, text) for text in settings.methods]
    wanted += [(streams, settings.stream), (backbones, settings.backbone)]
    names = [(registry, parse_spec(text).name) for registry, text in wanted]
    # A worker runs a script's file again, but not a notebook's cells.
    notebook = not hasattr(sys.modules["__main__"], "__file__")
    here = [f"{r.kind} '{name}'" for r, name in names if notebook and r.get(name).__module__ == "__main__"]
    if not here:
        return execution
    if execution.executor == "ray" or (execution.jobs or 1) > 1:
        raise UserError(
            f"jobs: {here[0]} is defined in this notebook, where workers cannot find it; write it to a file and give "
            "plugin=FILE, or leave jobs and executor out"
        )
    return replace(execution, jobs=1)


def _bold(text: str, best: bool) -> str:
    return f"<strong>{text}</strong>" if best else text
