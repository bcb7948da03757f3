"""The matrix of cells: which jobs there are, who does them, and what comes of it in the run folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmark.cells import Job
from benchmark.config import Execution
from benchmark.executors.base import Began, Failure, Plan
from benchmark.executors.choice import choose_executor
from benchmark.files import StorageError, remove_unfinished
from benchmark.independent import Found, look, unite
from benchmark.lock import locked
from benchmark.manifest import cell_name, check_same, new_manifest, now
from benchmark.preparation import Prepared
from benchmark.progress import Progress
from benchmark.report.write import write_report
from benchmark.results import FAILED, PENDING, RUNNING, SUCCEEDED, CellKey, RunFolder, open_run
from benchmark.trackers.curves import tracked


def run(
    prepared: Prepared, execution: Execution, folder: Path, command: list[str], progress: Progress
) -> dict[str, Any]:
    """Learn every cell, and write the run folder; an existing run goes on where it stopped.

    A cell that fails is reported as failed, with its cause, and the others go on.

    Returns:
        The manifest.

    Raises:
        UserError: the folder cannot be used, or is in use, or holds a run with other settings, or there are no such
            workers.
        StorageError: what was learned cannot be written; what was written before is there.
    """
    manifest = new_manifest(prepared.settings, prepared.stream, prepared.backbone, command)
    manifest["budgets"] = {label: asdict(budget) for label, budget in prepared.budgets.items()}
    run_folder = open_run(folder)
    try:
        with locked(folder):
            remove_unfinished(folder)
            return _run(prepared, execution, run_folder, manifest, progress)
    finally:
        # Where nothing has begun: a new folder would be that of no run.
        with suppress(OSError):
            folder.rmdir()


def _run(
    prepared: Prepared, execution: Execution, run_folder: RunFolder, manifest: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """What `run` does in a folder that is its own; `manifest` is that of a new run."""
    folder = run_folder.path
    if run_folder.exists():
        old = run_folder.read_manifest()
        check_same(old, manifest, "--name", folder.name)
        manifest = {**old, "finished": None}
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
    )
    cells = plan.cells(prepared)
    independent = {label for label in prepared.settings.methods if cells.are_independent(label)}
    executor, split = choose_executor(execution, plan, prepared, cells, independent, manifest["cells"])
    with tracked(execution.tracker, run_folder, manifest, progress) as progress:
        jobs = _jobs(run_folder, manifest, prepared, independent if split else set(), progress)
        matrix = _Matrix(run_folder, manifest, jobs)
        with closing(executor.run(jobs, progress)) as events:
            for event in events:
                if isinstance(event, Began):
                    matrix.began(event.job)
                else:
                    matrix.ended(event.job, event.failure)
                    if event.failure and event.failure.stops:
                        raise StorageError(event.failure.cause)
                    if event.failure:
                        progress.failed(event.job.name, event.failure.cause)
        matrix.finish()
        progress.note("drawing tables and figures")
        write_report(run_folder)
    return manifest


def _jobs(
    folder: RunFolder, manifest: dict[str, Any], prepared: Prepared, apart: set[str], progress: Progress
) -> list[Job]:
    """What is to be done: cells, and single tasks of the methods `apart`, which fill the gaps between them.

    Cells of which files are damaged are told, and it is noted in the manifest.
    """
    whole, single = [], []
    tasks = len(manifest["tasks"])
    for entry in manifest["cells"]:
        name, key = cell_name(entry, manifest), _key(entry)
        found = look(folder.cell(*key))
        if found.damaged:
            entry["damage"] = _damage(folder, found)
            progress.warn(f"{name}: {entry['damage']}")
        if found.damaged or entry["method"] not in apart:
            whole.append(Job(name, key))
        else:
            learned = found.tasks
            progress.cell(name, tasks, len(learned), prepared.epochs(entry["method"]))
            progress.ended(name)
            single += [Job(f"{name}, task {n}", key, n) for n in range(1, tasks + 1) if n not in learned]
    return whole + single


def _damage(folder: RunFolder, found: Found) -> str:
    """What is damaged in a cell's folder, and what of it is left."""
    first, *more = (str(path.relative_to(folder.path)) for path in found.damaged)
    files = f"{first} and {len(more)} more are" if more else f"{first} is"
    left = f"the state after task {found.sequence}" if found.sequence else "the start"
    return f"{files} damaged or missing, so that it goes on from {left}"


def _key(entry: dict[str, Any]) -> CellKey:
    return entry["method"], entry["seed"], entry["order"]


class _Matrix:
    """The status of each cell while its jobs are done, kept in the manifest.

    Args:
        folder: of the run.
        manifest: changed here, and written.
        jobs: all that will be done.
    """

    def __init__(self, folder: RunFolder, manifest: dict[str, Any], jobs: Sequence[Job]):
        self._folder = folder
        self._manifest = manifest
        self._entries = {_key(entry): entry for entry in manifest["cells"]}
        self._left = Counter(job.key for job in jobs)
        manifest["status"] = RUNNING
        for key, entry in self._entries.items():
            entry["status"], entry["cause"] = PENDING, None
            entry.pop("traceback", None)
            if not self._left[key]:
                self._close(key)
        self._write()

    def began(self, job: Job) -> None:
        entry = self._entries[job.key]
        if entry["status"] == PENDING:
            entry["status"] = RUNNING
            self._write()

    def ended(self, job: Job, failure: Failure | None) -> None:
        entry = self._entries[job.key]
        # Of several tasks that fail, the first.
        if failure and not entry["cause"]:
            entry["status"], entry["cause"], entry["traceback"] = failure.status, failure.cause, failure.traceback
        self._left[job.key] -= 1
        if not self._left[job.key]:
            self._close(job.key)
        self._write()

    def finish(self) -> None:
        """All jobs have ended."""
        failed = any(entry["cause"] for entry in self._entries.values())
        self._manifest["status"] = FAILED if failed else SUCCEEDED
        self._manifest["finished"] = now()
        self._write()

    def _close(self, key: CellKey) -> None:
        unite(self._folder.cell(*key))
        if not self._entries[key]["cause"]:
            self._entries[key]["status"] = SUCCEEDED

    def _write(self) -> None:
        self._folder.write_manifest(self._manifest)
