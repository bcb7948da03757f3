"""Runs all cells: lists the jobs, gives them to an executor, and writes the run folder."""

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
from benchmark.images.thumbnails import thumbnail
from benchmark.machine.limits import cpu_quota
from benchmark.planning.preparation import Prepared
from benchmark.progress.events import CellBegan, CellEnded, Event, Listener, Note, Placed, Told, Warned, tell_all
from benchmark.report.surest import pictured
from benchmark.report.write import write_report
from benchmark.results.reference import check_reference
from benchmark.results.run import Results, collect
from benchmark.running.config_file import CONFIG_NAME, write_config
from benchmark.running.executors.cells import Job
from benchmark.running.executors.choice import Site, choose_executor, site_of
from benchmark.running.executors.plan import Plan
from benchmark.running.growth import Growth, check_growth, grown, growth_of
from benchmark.running.log import logged
from benchmark.running.manifest import check_same, new_manifest
from benchmark.running.resume import check_device, check_plugins, difference_warning, fingerprints, resumed
from benchmark.running.status_board import StatusBoard
from benchmark.storage.folder import RunFolder, cell_name, open_run
from benchmark.storage.labels import TaskLabels, write_labels
from benchmark.storage.lock import locked
from benchmark.storage.manifest import Manifest, key_of
from benchmark.storage.parallel_tasks import Found, look
from benchmark.storage.processes import comparable_seconds, learning_processes, new_process
from benchmark.storage.provenance import several
from benchmark.storage.records import CellKey
from benchmark.storage.submitted import check_submitted, read_submitted
from benchmark.storage.thumbnails import write_thumbnails
from benchmark.streams.base import Stream
from benchmark.trackers.curves import tracked
from methods.errors import UserError


def run(prepared: Prepared, execution: Execution, folder: Path, command: list[str], tell: Listener) -> Results:
    """Learn every cell and write the run folder. An existing run continues where it stopped.

    A cell that fails is reported with its cause, and the other cells continue.

    Returns:
        The results of the run.

    Raises:
        UserError: the folder cannot be used, is in use, or holds a run with other settings; or the requested workers do
            not exist.
        StorageError: a learned task cannot be written; everything written before is kept.
        VanishedError: the folder, or something in it, was removed during the run.
    """
    _limit_threads()
    check_reference(execution.reference, prepared.settings.methods)
    manifest = new_manifest(prepared, command)
    manifest["budgets"] = {label: asdict(budget) for label, budget in prepared.budgets.items()}
    manifest["plugins"] = fingerprints(execution.plugins)
    manifest["bounds"] = [method.label for method in prepared.methods if method.cls.bound]
    if execution.reproduces:
        manifest["reproduces"] = execution.reproduces.as_json()
    if execution.tuned:
        manifest["tuned"] = execution.tuned.origin(manifest, prepared.stream.training_fingerprints)
        if differing := manifest["tuned"]["differences"]:
            text = (
                f"--tuned {execution.tuned.path}: this run has {', '.join(differing)}; other options may be better here"
            )
            tell(Warned(text))
        if again := execution.tuned.seeds_again(manifest["seeds"]):
            text = f"its options were chosen with seed {', '.join(map(str, again))} too; report other --seeds"
            tell(Warned(f"--tuned {execution.tuned.path}: {text}"))
        for label in execution.tuned.left_out:
            text = f"it could not be used on the backbone {execution.tuned.content['settings']['backbone']}"
            tell(Warned(f"--tuned {execution.tuned.path} goes on without {label}: {text}"))
    new = not folder.exists()
    run_folder = open_run(folder)
    try:
        with locked(folder), site_of(execution, prepared) as site:
            check_submitted(folder, execution.slurm.cluster if execution.slurm else None)
            if not read_submitted(folder, "slurm"):
                remove_unfinished(folder)
            return _run(prepared, execution, run_folder, manifest, site, tell)
    finally:
        # A run that could not begin leaves no folder. A folder that existed before belongs to the user.
        if new:
            with suppress(OSError):
                folder.rmdir()


def _run(
    prepared: Prepared, execution: Execution, run_folder: RunFolder, manifest: Manifest, site: Site, tell: Listener
) -> Results:
    """Do the work of `run` in a locked folder; `manifest` is the one of a new run."""
    folder, settings = run_folder.path, prepared.settings
    manifest |= site.machine
    process = new_process(manifest, site.device, settings.precision)
    if run_folder.exists():
        old = run_folder.read_manifest()
        growth = growth_of(old, manifest)
        check_same(old, manifest, "--name", folder.name, growing=growth.settings)
        check_plugins(old, manifest, folder.name)
        if growth:
            check_growth(old, manifest, growth, prepared, folder.name)
            size, old = old.size, grown(old, manifest, growth)
            process |= {"grown": growth.as_json(), "tasks_added": old.size - size}
        manifest = resumed(old, manifest, process)
    else:
        growth = Growth()
        manifest["processes"] = [process]
    keys = [key_of(entry) for entry in manifest["cells"]]
    found = {key: look(run_folder.cell(*key), manifest.rules_of(key[0])) for key in keys}
    process["tasks_left"] = manifest.size - sum(len(cell.tasks) for cell in found.values())
    if process["tasks_left"]:
        check_device(manifest, process, settings.device, folder.name)
        for text in (*site.warnings, difference_warning(manifest, process, folder.name)):
            if text:
                tell(Warned(text))
    manifest["reference"] = execution.reference or manifest["reference"]
    manifest["show_seconds"] = execution.seconds or manifest.get("show_seconds", False)
    run_folder = replace(run_folder, id=manifest["id"])
    plan = Plan(
        # Workers need not find out what "auto" means.
        replace(settings, device=site.device),
        execution.plugins,
        Path.cwd(),
        folder.absolute(),
        # The orders from the run's start: they depend on the tasks' names, which may have changed since.
        manifest["orders"],
        execution.keep_states,
        execution.verify_evaluations,
        budgets=prepared.budgets,
        names=tuple(task["task_name"] for task in manifest["tasks"]),
        id=manifest["id"],
        checkpoint_minutes=execution.checkpoint_minutes,
    )
    learner = plan.learner(prepared)
    independent = {method.label for method in prepared.methods if learner.are_independent(method.label)}
    executor, split = choose_executor(execution, plan, prepared, learner, independent, manifest["cells"], site)
    process |= {"workers": executor.workers, "gpus_per_cell": executor.share or None}
    epochs = prepared.epochs_in_all(manifest["cells"])
    with (
        tracked(execution.tracker, run_folder, manifest, tell) as (tell, publish),
        logged(folder, epochs, process["command"], tell) as tell,
    ):
        # An evaluation that is copied from another cell is not repeated, so it is not verified.
        share = not execution.verify_evaluations
        if not comparable_seconds(learning_processes(manifest)):
            manifest["comparable_seconds"] = False
        jobs = _jobs(run_folder, manifest, prepared, found, independent, split, share, tell)
        # After this point nothing is refused. The manifest is written first: it marks the folder as a run's folder.
        if growth:
            # Its options are others now. If this process is killed before it writes them, the next one does.
            (folder / CONFIG_NAME).unlink(missing_ok=True)
        board = StatusBoard(run_folder, manifest, jobs, tell)
        write_config(folder, prepared.settings, execution)
        write_labels(folder, _labels(prepared.stream))
        for text in prepared.told if process["tasks_left"] else ():
            tell(Told(text))
        with _checked(run_folder):
            executor.run(board.jobs, tell_all(_placed(manifest, process), board.handle, tell))
            board.finish()
            tell(Note("drawing tables and figures"))
            results = collect(run_folder, manifest)
            write_thumbnails(folder, _thumbnails(prepared.stream, pictured(results)))
            write_report(results)
        publish(results)
    return results


def _placed(manifest: Manifest, process: dict[str, Any]) -> Listener:
    """Return a listener that notes the machines of jobs, where they are known only when the jobs run.

    Args:
        process: this process, one of the manifest's.
    """
    machines = list[Mapping[str, Any]]()

    def note(event: Event) -> None:
        if isinstance(event, Placed) and event.machine not in machines:
            machines.append(event.machine)
            process.update(several(machines))
            if manifest["processes"][0] is process:
                manifest.update(several(machines))
            if not comparable_seconds(learning_processes(manifest)):
                manifest["comparable_seconds"] = False

    return note


def _labels(stream: Stream) -> dict[int, TaskLabels]:
    """Return the right answers to the test images of each task, by its number."""
    return {
        number: TaskLabels(task.name, task.fingerprint, task.classes, task.test.labels.numpy(), task.test_files)
        for number, task in enumerate(stream.tasks, 1)
    }


def _thumbnails(stream: Stream, pictured: Mapping[int, Sequence[int]]) -> dict[int, dict[int, bytes]]:
    """Return a small picture of each of these test images: number of the task -> places."""
    return {task: {k: thumbnail(stream.tasks[task - 1].test.images[k]) for k in own} for task, own in pictured.items()}


def _limit_threads() -> None:
    """Use no more threads than the container's CPU quota allows: further threads would only wait."""
    quota = cpu_quota()
    if quota and quota < torch.get_num_threads() and not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(quota)


@contextmanager
def _checked(folder: RunFolder) -> Iterator[None]:
    """Check at the end of the block that the run's folder still exists: its removal may be the cause of an error.

    Raises:
        VanishedError: it does not exist.
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
    """Return the jobs: whole cells, then single tasks, which keep workers busy at the end.

    Cells with damaged files are reported and noted in the manifest.

    Args:
        found: the contents of the cells' folders.
        independent: labels of the methods with independent tasks.
        split: whether each independent task is its own job, for all orders.
        share: whether a cell copies independent tasks that cells of other orders have learned.
    """
    tasks, orders = len(manifest["tasks"]), manifest["orders"]
    # A method that says that it isolates its tasks may still keep something, as an earlier process found.
    alone = independent - {key[0] for key, cell in found.items() if cell.keeps}
    alike = [key for key in found if key[0] in alone and share]
    # A damaged cell is learned in sequence, which repairs it.
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
    """Return the cells with the same method and seed but another order."""
    return tuple(other for other in cells if other[:2] == key[:2] and other != key)


def _damage(folder: RunFolder, found: Found) -> str:
    """Return a text about what is damaged in a cell's folder, and what is left."""
    first, *more = (str(path.relative_to(folder.path)) for path in found.damaged)
    files = f"{first} and {len(more)} more are" if more else f"{first} is"
    left = f"the state after task {found.sequence}" if found.sequence else "the start"
    return f"{files} damaged or missing, so that it goes on from {left}"
