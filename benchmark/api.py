"""The benchmark from Python: it does what the command line does, with results as pandas frames."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.backbones import backbones
from benchmark.config import RUN_OPTIONS, Execution, Settings
from benchmark.planning.preparation import prepare_run
from benchmark.progress.notebook import loading
from benchmark.progress.shown import shown
from benchmark.report.tables import summary_display
from benchmark.report.text import to_text
from benchmark.results.run import Results as Numbers
from benchmark.results.run import read
from benchmark.running.config_file import layered
from benchmark.running.manifest import planned_cells
from benchmark.running.request import requested
from benchmark.running.runner import run as learn
from benchmark.storage.folder import RunFolder, run_folder
from benchmark.streams import streams
from benchmark.using.learned import read_learned
from benchmark.using.predictor import Predictor
from benchmark.workers import warm_up
from methods import methods as registered
from methods.errors import UserError
from methods.method import Method
from methods.names import did_you_mean
from methods.options import Spec, join_specs
from methods.registry import Registry, load_plugin

__all__ = ["Results", "UserError", "load_results", "run"]


@dataclass(frozen=True, repr=False)
class Results(Numbers):
    __doc__ = Numbers.__doc__

    def predictor(
        self,
        method: str,
        seed: int | None = None,
        order: int | None = None,
        task: str | None = None,
        infer: str | None = None,
        device: str = "auto",
    ) -> Predictor:
        """What a method of the run has learned, to answer for images: `results.predictor("clr", task="digits")("DIR")`.

        Args:
            method: its label.
            seed, order: of the repetition; the run's first if None.
            task: the name of the images' task; None if it is not known or need not be.
            infer: the rule that guesses it.
            device: where to compute: "auto", "cpu" or "cuda".

        Raises:
            UserError: the run has no such method or repetition, it failed, or the task or the rule cannot be used.
        """
        return Predictor(read_learned(RunFolder(self.path), method, seed, order, device), task, infer)

    def __repr__(self) -> str:
        return f"{self.path}\n\n{to_text(summary_display(self))}"

    def _repr_html_(self) -> str:
        """The summary, as a notebook shows it."""
        table = summary_display(self)
        rows = [[_bold(html.escape(cell.text), cell.best) for cell in row] for row in table.rows]
        frame = pd.DataFrame(rows, columns=[html.escape(header) for header in table.headers])
        return f"<p>{html.escape(table.caption)}</p>{frame.to_html(index=False, escape=False)}"


def _shown(numbers: Numbers) -> Results:
    """The same results in a form that a terminal and a notebook show as a table."""
    return Results(**{field.name: getattr(numbers, field.name) for field in fields(numbers)})


def run(
    methods: str | type[Method] | Iterable[str | type[Method]] | None = None, stream: str | None = None, **options: Any
) -> Results:
    """Learn a stream of tasks with each method, as `python -m benchmark run` does.

    In a script, this needs `if __name__ == "__main__":`, as always when Python starts processes.

    Args:
        methods: specifications, `["clr", "ewc:strength=500"]` or `"clr,ewc"`, or classes that were registered; None for
            the methods in the file `config`.
        stream: a specification; None for the stream in the file `config`, or `mini` without that file.
        options: those of the command line, with underscores: `backbone="resnet18"`, `seeds=3` or `seeds=[4, 7]`,
            `epochs=2`, `equal_memory="clr"`, `name="mine"`, `out="results"`, `jobs=2`, and so on. Workers do not know
            what a notebook itself has registered: such runs have one job.

    Raises:
        UserError: something cannot be used, and nothing was learned; or the results cannot be written.
    """
    if stream is None and options.get("config") is None:
        stream = Settings.stream
    # Read twice below, and an iterator can be read only once.
    methods = methods if methods is None or isinstance(methods, (str, type)) else _listed(methods)
    options = {name: list(value) if isinstance(value, Iterator) else value for name, value in options.items()}
    settings, execution, folder = understand(methods, stream=stream, **options)
    command = as_command(methods, stream=stream, **options)
    if execution.may_start_workers:
        warm_up()
    with loading() as (note, warn):
        prepared = prepare_run(settings, note, warn=warn, elsewhere=execution.elsewhere)
    epochs = prepared.epochs_in_all(planned_cells(prepared.settings, RunFolder(folder)))
    with shown(epochs, execution.quiet, execution.verbose) as progress:
        return _shown(learn(prepared, execution, folder, command, progress.handle))


def load_results(path: str | PathLike[str]) -> Results:
    """Read a run that is finished, interrupted or still going on.

    Args:
        path: of its folder, or its name in results/.

    Raises:
        UserError: there is no such run, or it cannot be read.
    """
    return _shown(read(RunFolder(run_folder("load_results", str(path)))))


def understand(
    methods: str | type[Method] | Iterable[str | type[Method]] | None = None, **options: Any
) -> tuple[Settings, Execution, Path]:
    """The settings, the execution and the folder that the keywords mean.

    Raises:
        UserError: they cannot be used.
    """
    given = {name: _value(name, value) for name, value in options.items() if value is not None}
    if methods is not None:
        given["methods"] = methods if isinstance(methods, str) else _specifications(methods)
    values = layered(tuple(RUN_OPTIONS.values()), given)
    if values["methods"] is None:
        raise UserError("run: give methods, as methods=['clr', 'er'], or a config that has them")
    for path in values["plugin"]:
        load_plugin(path)
    settings, execution, folder = requested(values)
    return settings, _reachable(settings, execution), folder


def _value(name: str, value: Any) -> Any:
    """A keyword's value as the option of that name takes it.

    Raises:
        UserError: there is no such option, or it does not take such a value.
    """
    option = RUN_OPTIONS.get(name)
    if option is None:
        known = list(RUN_OPTIONS)
        raise UserError(f"run: there is no keyword '{name}': {did_you_mean(name, known)}known are {', '.join(known)}")
    if isinstance(value, bool) and option.kind is bool:
        return value
    if option.several and isinstance(value, Iterable) and not isinstance(value, str):
        texts = list(map(str, value))
        # The comma at the end makes it a list of one seed instead of a number of seeds.
        return texts if option.kind is str else ",".join(texts) + ","
    try:
        text = option.from_text(str(value))
    except ValueError as error:
        raise UserError(f"run: argument {option.flag}: {error}") from None
    return [text] if option.repeated else text


def as_command(methods: str | type[Method] | Iterable[str | type[Method]] | None = None, **options: Any) -> list[str]:
    """The command line that means the same as keywords.

    Raises:
        UserError: a class among the methods was not registered.
    """
    command = ["run"] if methods is None else ["run", f"--methods={_text(methods)}"]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is None:
            continue
        if isinstance(value, bool):
            command.append(option if value else f"--no-{option.removeprefix('--')}")
        elif isinstance(value, Iterable) and not isinstance(value, str):
            texts = list(map(str, value))
            # The comma at the end makes it a list of one seed instead of a number of seeds.
            repeated = name in RUN_OPTIONS and RUN_OPTIONS[name].repeated
            command += [f"{option}={text}" for text in (texts if repeated else [",".join(texts) + ","])]
        else:
            command.append(f"{option}={value}")
    return command


def _text(methods: str | type[Method] | Iterable[str | type[Method]]) -> str:
    """The methods as the command line takes them. A text already has this form."""
    return methods if isinstance(methods, str) else join_specs(_specifications(methods))


def _specifications(methods: type[Method] | Iterable[str | type[Method]]) -> list[str]:
    return [_specification(method) for method in ([methods] if isinstance(methods, type) else _listed(methods))]


def _listed(methods: Any) -> list[Any]:
    """Several methods, which can be gone through once."""
    if not isinstance(methods, Iterable) or isinstance(methods, Mapping):
        raise _no_method(methods)
    return list(methods)


def _no_method(given: object) -> UserError:
    kind = type(given).__name__
    instead = f"; give the class, {kind}" if isinstance(given, Method) else ""
    return UserError(
        f"methods takes specifications or registered classes, as methods=['clr', 'ewc:strength=500'], not an object of "
        f"the type {kind}{instead}"
    )


def _specification(method: Any) -> str:
    """A method as --methods takes it.

    Raises:
        UserError: something else, or a class that was not registered.
    """
    if isinstance(method, str):
        return method
    if not isinstance(method, type):
        raise _no_method(method)
    name = getattr(method, "name", None)
    # A derived class also has the name of the registered class it is derived from.
    if name is None or registered.get(name) is not method:
        raise UserError(
            f'methods: {method.__name__} is not registered; write @methods.register("its-name") above the class'
        )
    return name


def _reachable(settings: Settings, execution: Execution) -> Execution:
    """One job if workers could not import what the run needs.

    Raises:
        UserError: more jobs were asked for.
    """
    wanted: list[tuple[Registry[Any], Spec]] = [(registered, spec) for spec in settings.methods]
    wanted += [(streams, settings.stream), (backbones, settings.backbone)]
    names = [(registry, spec.name) for registry, spec in wanted]
    # A worker runs a script's file again, but not a notebook's cells.
    notebook = not hasattr(sys.modules["__main__"], "__file__")
    here = [f"{r.kind} '{name}'" for r, name in names if notebook and r.get(name).__module__ == "__main__"]
    if not here:
        return execution
    if execution.elsewhere or (execution.jobs or 1) > 1:
        raise UserError(
            f"jobs: {here[0]} is defined in this notebook, where workers cannot find it; write it to a file and give "
            "plugin=FILE, or leave jobs and executor out"
        )
    return replace(execution, jobs=1, in_process=True)


def _bold(text: str, best: bool) -> str:
    return f"<strong>{text}</strong>" if best else text
