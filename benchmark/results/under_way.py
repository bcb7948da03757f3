"""How far a run is, from its folder alone: another process, perhaps on another machine, may be writing there.

Nothing is written, and what is missing or half there counts as not there yet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import mean

from benchmark.files import HOLDER, MANIFEST, VanishedError
from benchmark.storage.folder import RunFolder, cell_name
from benchmark.storage.manifest import DIVERGED, FAILED, RUNNING, Entry, Manifest
from benchmark.storage.parallel_tasks import alone_paths
from benchmark.storage.processes import processes
from benchmark.storage.records import Record, read_record, record_path
from methods.errors import UserError


@dataclass(frozen=True)
class CellUnderWay:
    """How far a cell is.

    Attributes:
        name: the cell's name.
        status: as in the manifest.
        learned: how many of its tasks are learned.
        task: the name of the task that it learns; empty if it learns none, or several at once.
        accuracy: mean accuracy on the tasks learned so far, after the last of them, as the networks themselves answer;
            None before the first one.
        left: about how many seconds its other tasks take, one after the other; 0 if it failed, None if that is not
            known.
        cause: why it failed; empty if it did not.
    """

    name: str
    status: str
    learned: int
    task: str
    accuracy: float | None
    left: float | None
    cause: str


@dataclass(frozen=True)
class UnderWay:
    """How far a run is.

    Attributes:
        goes_on: whether a process works on it, as far as its folder tells: one that was killed could not say so.
        status: as in the manifest; empty while the run is prepared and has no manifest.
        title: what is learned on what.
        tasks: how many tasks each cell has.
        cells: the cells, in the order of the manifest.
        since: for how many seconds its last process has worked on it, or worked until it ended.
        left: about how many seconds the run still takes; None if that is not known.
        written: the seconds since something was last written.
    """

    goes_on: bool
    status: str
    title: str
    tasks: int
    cells: tuple[CellUnderWay, ...]
    since: float
    left: float | None
    written: float

    @property
    def learned(self) -> int:
        """How many tasks all cells have learned together."""
        return sum(cell.learned for cell in self.cells)


@dataclass(frozen=True)
class _Lessons:
    """What a cell's folder holds.

    Attributes:
        records: of the tasks learned in sequence.
        alone: the number of a task behind them that was learned alone -> its record.
        written: when its newest file was written, in seconds since 1970; 0 without any.
    """

    records: Sequence[Record]
    alone: Mapping[int, Record]
    written: float

    @property
    def learned(self) -> int:
        return len(self.records) + len(self.alone)

    @property
    def places(self) -> set[int]:
        """The tasks that are learned, by their places in the cell's order, from 1."""
        return {*range(1, len(self.records) + 1), *self.alone}

    @property
    def seconds(self) -> float:
        """How long all tasks together took: their training and what was evaluated after it."""
        every = (*self.records, *self.alone.values())
        return sum(record.get("training_seconds", 0.0) + record.get("evaluation_seconds", 0.0) for record in every)

    @property
    def accuracy(self) -> float | None:
        evaluated = [*(self.records[-1]["evaluated"] if self.records else ())]
        evaluated += [entry for record in self.alone.values() for entry in record["evaluated"]]
        found = [entry["accuracy"] for entry in evaluated if "accuracy" in entry]
        return mean(found) if found else None


class Watched:
    """A run's folder that is looked at again and again; a file that has not changed is read once.

    Args:
        run: the folder.
    """

    def __init__(self, run: RunFolder):
        self._run = run
        # File -> when it was changed and its size, and the record in it.
        self._known: dict[Path, tuple[tuple[int, int], Record | None]] = {}

    def look(self, now: float) -> UnderWay:
        """See how far the run is.

        Args:
            now: the time, in seconds since 1970.

        Raises:
            UserError: the folder holds no run, or one without cells.
            OSError: something cannot be read at the moment.
        """
        goes_on = (self._run.path / HOLDER).exists()
        if goes_on and not self._run.exists():
            return UnderWay(True, "", self._run.path.name, 0, (), 0.0, None, 0.0)
        manifest = self._run.read_manifest()
        if manifest.kept or "runs" in manifest:
            raise UserError(
                f"watch: {self._run.path} has the tables of runs and not their cells; give the folder of a run"
            )
        lessons = [self._lessons(self._run.cell(*key)) for key in manifest.keys_of_cells]
        written = max([(self._run.path / MANIFEST).stat().st_mtime, *(each.written for each in lessons)])
        process = processes(manifest)[-1]
        began = _time(process.get("started") or manifest["started"])
        times = _Times(manifest, lessons)
        cells = [
            self._cell(manifest, entry, own, times.left(entry, own))
            for entry, own in zip(manifest.cells, lessons, strict=True)
        ]
        left = times.of_run([cell.left for cell in cells], process.get("workers", 1), now, began)
        ended = None if goes_on else _time(manifest["finished"]) if manifest.get("finished") else written
        return UnderWay(
            goes_on,
            manifest["status"],
            manifest.title,
            len(manifest.tasks),
            tuple(cells),
            max(0.0, (now if ended is None else ended) - began),
            left if goes_on else None,
            max(0.0, now - written),
        )

    def _cell(self, manifest: Manifest, entry: Entry, own: _Lessons, left: float | None) -> CellUnderWay:
        order, running = manifest.orders[entry["order"]], entry["status"] == RUNNING
        following = own.learned < len(order) and not own.alone
        task = manifest.tasks[order[own.learned] - 1]["task_name"] if running and following else ""
        cause = entry.get("cause") or ""
        return CellUnderWay(
            cell_name(entry, manifest), entry["status"], own.learned, task, own.accuracy, left, str(cause)
        )

    def _lessons(self, folder: Path) -> _Lessons:
        records: list[Record] = []
        paths = []
        while record := self._record(record_path(folder, len(records) + 1)):
            paths.append(record_path(folder, len(records) + 1))
            records.append(record)
        alone = {}
        for number, path in alone_paths(folder).items():
            if number > len(records) and (record := self._record(path)):
                paths.append(path)
                alone[number] = record
        return _Lessons(records, alone, max((self._known[path][0][0] / 1e9 for path in paths), default=0.0))

    def _record(self, path: Path) -> Record | None:
        try:
            about = path.stat()
            version = (about.st_mtime_ns, about.st_size)
            if path not in self._known or self._known[path][0] != version:
                self._known[path] = version, read_record(path)
        except (FileNotFoundError, NotADirectoryError, VanishedError):
            self._known.pop(path, None)
            return None
        return self._known[path][1]


class _Times:
    """About how long what is left takes.

    A task takes as long as its training images and their size let expect (what plain fine-tuning computes), from what
    the learned tasks of the same method took, or else from those of all methods.

    Args:
        manifest: of the run.
        lessons: of its cells.
    """

    def __init__(self, manifest: Manifest, lessons: Sequence[_Lessons]):
        self._manifest = manifest
        self._lessons = lessons
        took: defaultdict[str, float] = defaultdict(float)
        computed: defaultdict[str, float] = defaultdict(float)
        for entry, own in zip(manifest.cells, lessons, strict=True):
            took[entry["method"]] += own.seconds
            computed[entry["method"]] += sum(self._size(entry, place) for place in own.places)
        self._rates = {label: took[label] / computed[label] for label in took if computed[label]}

    def _size(self, entry: Entry, place: int) -> int:
        order = self._manifest.orders[entry["order"]]
        size: int = self._manifest.tasks[order[place - 1] - 1]["sgd_flops"]
        return size

    def _seconds(self, entry: Entry, places: Iterable[int]) -> float | None:
        """How long the tasks at these places of a cell take."""
        known = self._rates.values()
        rate = self._rates.get(entry["method"], mean(known) if known else None)
        return None if rate is None else rate * sum(self._size(entry, place) for place in places)

    def left(self, entry: Entry, own: _Lessons) -> float | None:
        """The seconds that a cell's other tasks take, one after the other. What failed is not tried again at once."""
        if entry["status"] in (FAILED, DIVERGED):
            return 0.0
        missing = set(range(1, len(self._manifest.tasks) + 1)) - own.places
        return self._seconds(entry, missing) if missing else 0.0

    def of_run(self, cells: Sequence[float | None], workers: int, now: float, began: float) -> float | None:
        """The seconds that the run still takes, on that many workers.

        It is at least what the longest cell takes, unless its tasks are learned at once. Of the task that a cell learns
        now, the time since its last task, or since the process began, has passed.
        """
        left = []
        for entry, own, seconds in zip(self._manifest.cells, self._lessons, cells, strict=True):
            if seconds is None:
                return None
            if seconds and entry["status"] == RUNNING and not own.alone:
                # It may take longer than expected: then at least nothing of it is left.
                passed = min(now - max(own.written, began), self._seconds(entry, [own.learned + 1]) or 0.0)
                seconds -= max(0.0, passed)
            left.append(seconds)
        in_sequence = (each for each, own in zip(left, self._lessons, strict=True) if not own.alone)
        return max(sum(left) / max(1, workers), *in_sequence, 0.0)


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
