"""The cells during a run: the jobs that each cell still needs, and its status."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from typing import Any

from benchmark.files import StorageError
from benchmark.progress.events import CellFailed, Event, Failure, JobBegan, JobEnded, Listener, Warned
from benchmark.running.executors.cells import Job
from benchmark.storage.folder import RunFolder, cell_name
from benchmark.storage.inferred import lost_inferred
from benchmark.storage.manifest import DIVERGED, FAILED, PENDING, RUNNING, SUCCEEDED, Manifest, key_of
from benchmark.storage.parallel_tasks import unite
from benchmark.storage.provenance import now
from benchmark.storage.records import CellKey, read_records


class StatusBoard:
    """Keeps the status of each cell in the manifest while its jobs run.

    A method may say that its tasks are independent, but still keep something for the next task. This is detected when
    one of its tasks was learned alone. Then its cells are learned in sequence.

    Attributes:
        jobs: the waiting jobs. An executor takes them from the front; this class may add or remove some.

    Args:
        folder: the run's folder.
        manifest: the manifest, which is changed and written here.
        jobs: all jobs of the run.
        tell: receives failures and warnings.
    """

    def __init__(self, folder: RunFolder, manifest: Manifest, jobs: Sequence[Job], tell: Listener):
        self.jobs = deque(jobs)
        self._folder = folder
        self._manifest = manifest
        self._tell = tell
        self._named = {job.name: job for job in jobs}
        self._entries = {key_of(entry): entry for entry in manifest["cells"]}
        # Cells whose tasks were learned alone, and are asked without knowing the task once all of them exist.
        self._asked: set[CellKey] = set()
        self._left = Counter(key for job in jobs for key in job.cells)
        # Methods that keep something for the next task, and those of their cells that are not complete.
        self._keeping: set[str] = set()
        self._unfinished: set[CellKey] = set()
        # Failures of single tasks. They are told when the cell ends, because it may still succeed in sequence.
        self._untold: defaultdict[CellKey, list[tuple[str, str]]] = defaultdict(list)
        manifest["status"] = RUNNING
        for key, entry in self._entries.items():
            self._set_pending(entry)
            if not self._left[key]:
                self._close(key)
        folder.write_manifest(manifest)

    def handle(self, event: Event) -> None:
        """Update the manifest when a job begins or ends.

        Raises:
            StorageError: learned tasks cannot be stored.
        """
        match event:
            case JobBegan(name):
                self._began(self._named[name])
            case JobEnded(name, failure):
                self._ended(self._named[name], failure)
                if failure and failure.stops:
                    raise StorageError(failure.cause)

    def _began(self, job: Job) -> None:
        waiting = [self._entries[key] for key in job.cells if self._entries[key]["status"] == PENDING]
        for entry in waiting:
            entry["status"] = RUNNING
        if waiting:
            self._write()

    def _ended(self, job: Job, failure: Failure | None) -> None:
        if failure and failure.keeps:
            self._learn_in_sequence(job)
        elif failure:
            if not failure.stops:
                self._untold[job.key].append((job.name, failure.cause))
            self._note(job, failure)
        for key in job.cells:
            self._left[key] -= 1
            if not self._left[key]:
                self._close(key)
        self._write()

    def finish(self) -> None:
        """Finish the manifest after all jobs have ended.

        Raises:
            VanishedError: some of the learned files no longer exist.
        """
        self._folder.check_cells(self._manifest)
        failed = any(entry["cause"] for entry in self._entries.values())
        self._manifest["status"] = FAILED if failed else SUCCEEDED
        self._manifest["finished"] = now()
        self._write()

    def _note(self, job: Job, failure: Failure) -> None:
        for key in job.cells:
            entry = self._entries[key]
            # If several tasks fail, the first one counts.
            if not entry["cause"]:
                entry["status"] = DIVERGED if failure.diverged else FAILED
                entry["traceback"] = failure.traceback
                entry["cause"] = failure.cause if key == job.key else f"{failure.cause} ({job.name})"

    def _learn_in_sequence(self, job: Job) -> None:
        """Learn no other task of this method alone: the job's task has left something for the next one."""
        label = job.key[0]
        if label not in self._keeping:
            self._keeping.add(label)
            self._tell(
                Warned(
                    f"{label} says that it isolates its tasks, but keeps something for the next one: they are learned "
                    "in sequence"
                )
            )
        dropped = [other for other in self.jobs if other.key[0] == label and other.task is not None]
        for other in dropped:
            self.jobs.remove(other)
        self._unfinished |= {key for each in (job, *dropped) for key in each.cells}
        for key in (key for each in dropped for key in each.cells):
            self._left[key] -= 1
            if not self._left[key]:
                self._close(key)

    def _close(self, key: CellKey) -> None:
        """End a cell that has no jobs left, or add the job that learns it in sequence."""
        entry = self._entries[key]
        unite(self._folder.cell(*key))
        if key in self._unfinished:
            self._unfinished.remove(key)
            self._untold.pop(key, None)
            self._set_pending(entry)
            self._add_whole(key)
            return
        for name, cause in self._untold.pop(key, []):
            self._tell(CellFailed(name, cause))
        if not entry["cause"] and key not in self._asked and self._lacks_inferred(key):
            self._asked.add(key)
            self._add_whole(key, counted=True)
        elif not entry["cause"]:
            entry["status"] = SUCCEEDED

    def _add_whole(self, key: CellKey, counted: bool = False) -> None:
        """Add a job that does all that a cell still lacks; see Job."""
        job = Job(cell_name(self._entries[key], self._manifest), key, counted=counted)
        self._named[job.name] = job
        self.jobs.append(job)
        self._left[key] += 1

    def _lacks_inferred(self, key: CellKey) -> bool:
        """Whether a cell has not answered yet where the task is not known."""
        rules, folder = self._manifest.rules_of(key[0]), self._folder.cell(*key)
        return bool(rules) and bool(lost_inferred(folder, read_records(folder), rules))

    def _set_pending(self, entry: dict[str, Any]) -> None:
        entry["status"], entry["cause"] = PENDING, None
        entry.pop("traceback", None)

    def _write(self) -> None:
        self._folder.check()
        self._folder.write_manifest(self._manifest)
