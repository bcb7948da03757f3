"""The matrix of cells: which jobs there are, who does them, and what comes of it in the run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmark.config import Execution
from benchmark.files import remove_unfinished
from benchmark.images.machine import cpu_quota
from benchmark.planning.preparation import Prepared
from benchmark.progress.events import CellBegan, CellEnded, Listener, Note, Warned, tell_all
from benchmark.report.write import write_report
from benchmark.results.run import Results, collect
from benchmark.running.config_file import write_config
from benchmark.running.executors.cells import Job
from benchmark.running.executors.choice import choose_executor
from benchmark.running.executors.plan import Plan
from benchmark.running.manifest import check_same, new_manifest
from benchmark.running.matrix import Matrix, key_of
from benchmark.running.resume import check_device, check_plugins, difference_warning, fingerprints, resumed
from benchmark.storage.folder import RunFolder, cell_name, open_run
from benchmark.storage.lock import locked
from benchmark.storage.manifest import Manifest
from benchmark.storage.parallel_tasks import Found, look
from benchmark.storage.provenance import comparable_seconds, learning_processes, new_process
from benchmark.storage.records import CellKey
from benchmark.trackers.curves import tracked
from methods.errors import UserError


def run(prepared: Prepared, execution: Execution, folder: Path, command: list[str], tell: Listener) -> Results:
    """Learn every cell, and write the run folder; an existing run goes on where it stopped.

    A cell that fails is reported as failed, with its cause, and the others go on.

    Returns:
        What the run has left behind.

    Raises:
        UserError: the folder cannot be used, or is in use, or holds a run with other settings, or there are no such
            workers.
        StorageError: what was learned cannot be written; what was written before is there.
        VanishedError: the folder, or a part of it, was removed while the run went on.
    """
    _limit_threads()
    manifest = new_manifest(prepared.settings, prepared.stream, prepared.backbone, command)
    manifest["budgets"] = {label: asdict(budget) for label, budget in prepared.budgets.items()}
    manifest["plugins"] = fingerprints(execution.plugins)
    manifest["bounds"] = [method.label for method in prepared.methods if method.cls.bound]
    if execution.tuned:
        manifest["tuned"] = execution.tuned.origin(manifest, prepared.stream.training_fingerprints)
        if differing := manifest["tuned"]["differences"]:
            text = (
                f"--tuned {execution.tuned.path}: this run has {', '.join(differing)}; other options may be better here"
            )
            tell(Warned(text))
    new = not folder.exists()
    run_folder = open_run(folder)
    try:
        with locked(folder):
            remove_unfinished(folder)
            return _run(prepared, execution, run_folder, manifest, tell)
    finally:
        # Nothing is left of a run that could not begin. A folder that was there before is the user's.
        if new:
            with suppress(OSError):
                folder.rmdir()


def _run(
    prepared: Prepared, execution: Execution, run_folder: RunFolder, manifest: Manifest, tell: Listener
) -> Results:
    """What `run` does in a folder that is its own; `manifest` is that of a new run."""
    folder = run_folder.path
    process = new_process(manifest, prepared.device)
    if run_folder.exists():
        old = run_folder.read_manifest()
        check_same(old, manifest, "--name", folder.name)
        check_plugins(old, manifest, folder.name)
        manifest = resumed(old, manifest, process)
    else:
        manifest["processes"] = [process]
    found = {key_of(entry): look(run_folder.cell(*key_of(entry))) for entry in manifest["cells"]}
    process["tasks_left"] = len(manifest["tasks"]) * len(found) - sum(len(cell.tasks) for cell in found.values())
    if process["tasks_left"]:
        check_device(manifest, process, prepared.settings.device, folder.name)
        if text := difference_warning(manifest, process, folder.name):
            tell(Warned(text))
    manifest["reference"] = execution.reference or manifest["reference"]
    run_folder = replace(run_folder, id=manifest["id"])
    plan = Plan(
        prepared.settings,
        execution.plugins,
        Path.cwd(),
        folder.absolute(),
        # As the run began: orders follow from the tasks' names, which may have changed since.
        manifest["orders"],
        execution.keep_states,
        execution.verify_evaluations,
        budgets=prepared.budgets,
        names=tuple(task["task_name"] for task in manifest["tasks"]),
        id=manifest["id"],
    )
    cells = plan.cells(prepared)
    independent = {method.label for method in prepared.methods if cells.are_independent(method.label)}
    executor, split = choose_executor(execution, plan, prepared, cells, independent, manifest["cells"])
    with tracked(execution.tracker, run_folder, manifest, tell) as (tell, publish):
        # An evaluation that is taken over is not made again.
        share = not execution.verify_evaluations
        if not comparable_seconds(learning_processes(manifest)):
            manifest["comparable_seconds"] = False
        jobs = _jobs(run_folder, manifest, prepared, found, independent, split, share, tell)
        # From here on nothing is refused. The manifest comes first: it makes the folder that of a run.
        matrix = Matrix(run_folder, manifest, jobs, tell)
        write_config(folder, prepared.settings, execution)
        with _checked(run_folder):
            executor.run(matrix.jobs, tell_all(matrix.handle, tell))
            matrix.finish()
            tell(Note("drawing tables and figures"))
            results = collect(run_folder, manifest)
            write_report(results)
        publish(results)
    return results


def _limit_threads() -> None:
    """Where a container gives less time than there are processors, more threads than that would wait for each other."""
    quota = cpu_quota()
    if quota and quota < torch.get_num_threads() and not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(quota)


@contextmanager
def _checked(folder: RunFolder) -> Iterator[None]:
    """See, at the end of the block, that the run's folder is still there, which may be why it ended.

    Raises:
        VanishedError: it is not.
    """
    try:
        yield
    except UserError:
        folder.check()
        raise
    folder.check()


def _jobs(
    folder: RunFolder,
    manifest: dict[str, Any],
    prepared: Prepared,
    found: Mapping[CellKey, Found],
    independent: set[str],
    split: bool,
    share: bool,
    tell: Listener,
) -> list[Job]:
    """What is to be done: cells, and single tasks, which fill the gaps between them.

    Cells of which files are damaged are told, and it is noted in the manifest.

    Args:
        found: what the cells' folders hold.
        independent: labels of the methods whose tasks need no other one.
        split: whether these tasks are jobs of their own, each for all orders.
        share: whether cells take over what those of other orders have learned of such tasks.
    """
    tasks, orders = len(manifest["tasks"]), manifest["orders"]
    # What says that it isolates its tasks may keep something all the same, as was seen before.
    alone = independent - {key[0] for key, cell in found.items() if cell.keeps}
    alike = [key for key in found if key[0] in alone and share]
    # Whoever learns a damaged cell in sequence puts it right.
    apart = [key for key in found if key[0] in alone and split and not found[key].damaged]
    whole, single = [], []
    begun: set[tuple[str, int, int]] = set()
    for entry in manifest["cells"]:
        name, key = cell_name(entry, manifest), key_of(entry)
        if found[key].damaged:
            entry["damage"] = _damage(folder, found[key])
            tell(Warned(f"{name}: {entry['damage']}"))
        if key not in apart:
            whole.append(Job(name, key, twins=_twins(key, alike)))
            continue
        own = [
            number
            for number, task in enumerate(orders[key[2]], 1)
            if number not in found[key].tasks and (*key[:2], task) not in begun
        ]
        begun |= {(*key[:2], orders[key[2]][number - 1]) for number in own}
        if len(own) < tasks:
            tell(CellBegan(name, tasks, tasks - len(own), prepared.epochs(entry["method"])))
            tell(CellEnded(name))
        single += [Job(f"{name}, task {n}", key, n, _twins(key, apart)) for n in own]
    return whole + single


def _twins(key: CellKey, cells: Sequence[CellKey]) -> tuple[CellKey, ...]:
    """Those of the cells that are of the same method and seed in another order."""
    return tuple(other for other in cells if other[:2] == key[:2] and other != key)


def _damage(folder: RunFolder, found: Found) -> str:
    """What is damaged in a cell's folder, and what of it is left."""
    first, *more = (str(path.relative_to(folder.path)) for path in found.damaged)
    files = f"{first} and {len(more)} more are" if more else f"{first} is"
    left = f"the state after task {found.sequence}" if found.sequence else "the start"
    return f"{files} damaged or missing, so that it goes on from {left}"
