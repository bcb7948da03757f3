"""Learning the cells of a run, or single tasks of them: what every worker does."""

from __future__ import annotations

import atexit
import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmark.learning.evaluation import evaluate, evaluation_fingerprint, network_fingerprint, network_for
from benchmark.learning.learner import Cell, frozen_bytes, is_independent, learn, start
from benchmark.learning.memory import peak_memory
from benchmark.learning.operations import inference_operations_per_image
from benchmark.learning.training import Training
from benchmark.planning.preparation import Prepared
from benchmark.progress.events import CellBegan, CellEnded, EpochDone, Listener, TaskBegan
from benchmark.storage.folder import RunFolder
from benchmark.storage.parallel_tasks import Alone, find_alone, save_alone, unite
from benchmark.storage.records import CellKey, Records
from benchmark.storage.state import PackedState, State, load, pack, save
from benchmark.streams.base import Stream
from benchmark.streams.orders import reordered
from methods.errors import UserError


@dataclass(frozen=True)
class Job:
    """What a worker does at a time.

    Attributes:
        name: for people.
        key: of a cell.
        task: the number of one of its tasks, which are independent; None for all of them, one after the other.
        twins: cells of the same method and seed in other orders, where the tasks are independent: what one of them has
            learned the others take over.
    """

    name: str
    key: CellKey
    task: int | None = None
    twins: tuple[CellKey, ...] = ()

    @property
    def cells(self) -> tuple[CellKey, ...]:
        """The cells that get what it learns."""
        return (self.key,) if self.task is None else (self.key, *self.twins)


class KeepsError(RuntimeError):
    """A task that was learned alone has left something for the next one."""


class EvaluationChangedError(RuntimeError):
    """An evaluation that was made again gave something else."""


class Cells:
    """Learns the cells of a run, whose folder takes everything that comes of it.

    Args:
        prepared: the run's settings, stream and backbone.
        folder: of the run.
        orders: each a list of the tasks' numbers, from 1.
        keep_states: keep the shared and memory parts after every task.
        verify: make evaluations again that are known, and compare.
    """

    def __init__(self, prepared: Prepared, folder: RunFolder, orders: list[list[int]], keep_states: bool, verify: bool):
        self.settings = prepared.settings
        self.device = prepared.device
        self._prepared = prepared
        self._methods = {method.label: method for method in prepared.methods}
        self._folder = folder
        self._orders = orders
        self._keep_states = keep_states
        self._verify = verify
        self._frozen_bytes: dict[str, int] = {}
        # What is here now stays to the end: nobody has to look through it for garbage before each task.
        gc.collect()
        gc.freeze()
        atexit.register(gc.unfreeze)
        # The same command gives the same bytes.
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False

    def are_independent(self, label: str) -> bool:
        """Whether the tasks of a method can be learned in any order, or at once.

        Raises:
            UserError: the method cannot learn with this backbone.
        """
        try:
            return is_independent(self._cell((label, self.settings.seeds[0], 0)))
        except UserError:
            # The method cannot be used on this backbone.
            raise
        except Exception:
            # It goes wrong in the method's cells as well, which report it.
            return False

    def do(self, job: Job, tell: Listener) -> None:
        """Learn what is not in the folder yet."""
        if job.task is None:
            self._learn_all(job, tell)
        else:
            self._learn_alone(job, job.task, tell)

    def _cell(self, key: CellKey) -> Cell:
        label, seed, _ = key
        make, stream = self._methods[label].make, self._stream(key)
        return Cell(self._prepared.backbone, make, stream.most_classes, seed, self.device, stream.names)

    def _stream(self, key: CellKey) -> Stream:
        return reordered(self._prepared.stream, self._orders[key[2]])

    def _training(self, key: CellKey) -> Training:
        settings = self.settings
        return Training(
            self._methods[key[0]].recipe,
            self._prepared.epochs(key[0]),
            settings.batch_size,
            settings.augment,
            settings.precision,
            settings.compile,
        )

    def _learn_all(self, job: Job, tell: Listener) -> None:
        """The fold of learn() over the stream, from where the folder ends."""
        cell, tasks, folder = self._cell(job.key), len(self._stream(job.key)), self._folder.cell(*job.key)
        epochs = self._prepared.epochs(job.key[0])
        unite(folder)
        state, records = load(folder, lambda: start(cell))
        if self._take_over(job, state.learned) and unite(folder):
            state, records = load(folder, lambda: start(cell))
        tell(CellBegan(job.name, tasks, state.learned, epochs))
        while state.learned < tasks:
            numbers = range(1, state.learned + 2)
            state, packed, record = self._learn(job, state, records, numbers, tell)
            self._folder.check()
            self._folder.check_records(job.key, range(1, len(records) + 1))
            save(folder, packed, record, self._keep_states)
            records.append({**record, "checksums": packed.checksums})
            self._take_over(job, state.learned)
            # A run with other workers may have learned the next ones, too.
            if unite(folder):
                state, records = load(folder, lambda: start(cell))
                tell(CellBegan(job.name, tasks, state.learned, epochs))
        tell(CellEnded(job.name))

    def _take_over(self, job: Job, learned: int) -> bool:
        """Take what the cell lacks behind its first `learned` tasks from other orders; whether there was anything."""
        folder, taken = self._folder.cell(*job.key), False
        for number in range(learned + 1, len(self._orders[job.key[2]]) + 1) if job.twins else ():
            if find_alone(folder, number) is None and (found := self._find(job.twins, self._task(job.key, number))):
                # As `save` would have written it.
                kept = {"keep_states": True} if self._keep_states else {}
                self._keep(job.key, number, replace(found, record=found.record | kept))
                taken = True
        return taken

    def _task(self, key: CellKey, number: int) -> int:
        """The number in the stream of the task that is number `number` in a cell's order."""
        return self._orders[key[2]][number - 1]

    def _place(self, key: CellKey, task: int) -> int:
        """The inverse of `_task`."""
        return self._orders[key[2]].index(task) + 1

    def _find(self, keys: Sequence[CellKey], task: int) -> Alone | None:
        """The stream's task as one of these cells has learned it; None if none has."""
        found = (find_alone(self._folder.cell(*key), self._place(key, task)) for key in keys)
        return next((alone for alone in found if alone), None)

    def _keep(self, key: CellKey, number: int, alone: Alone) -> None:
        moved = alone.moved(number)
        self._folder.check()
        save_alone(self._folder.cell(*key), moved.packed, moved.record)

    def _learn_alone(self, job: Job, number: int, tell: Listener) -> None:
        """One task of a cell whose tasks are independent, for all orders."""
        tell(CellBegan(job.name, 1, 0, self._prepared.epochs(job.key[0])))
        task = self._task(job.key, number)
        alone = self._find(job.cells, task) or self._learned_alone(job, number, tell)
        for key in job.cells:
            if find_alone(self._folder.cell(*key), self._place(key, task)) is None:
                self._keep(key, self._place(key, task), alone)
        tell(CellEnded(job.name))

    def _learned_alone(self, job: Job, number: int, tell: Listener) -> Alone:
        """Learn one task of a cell by itself.

        Raises:
            KeepsError: the tasks behind it need it.
        """
        # Of the tasks before, nothing but their number matters.
        state, packed, record = self._learn(job, State(number - 1, {}), [], [number], tell)
        if state.shared or state.memory:
            # All of it is learned again.
            tell(CellBegan(job.name, 1, 0, self._prepared.epochs(job.key[0])))
            tell(CellEnded(job.name))
            raise KeepsError(f"{job.key[0]} keeps something for the next task")
        return Alone(packed, record)

    def _learn(
        self, job: Job, before: State, records: Records, numbers: Sequence[int], tell: Listener
    ) -> tuple[State, PackedState, dict[str, Any]]:
        """Learn the next task.

        Args:
            before: the state that the task finds.
            records: of the tasks that are in it.
            numbers: of the tasks to evaluate, of which the new one is the last.

        Returns:
            The state after the task, its files, and what was measured.
        """
        cell, stream = self._cell(job.key), self._stream(job.key)
        task = stream.tasks[before.learned]
        tell(TaskBegan(job.name, before.learned + 1, task.name))
        with peak_memory(self.device) as peak:
            learned = learn(cell, before, task, self._training(job.key), lambda: tell(EpochDone(job.name)))
        state = learned.state
        packed = pack(state, before, records[-1]["checksums"] if records else {})
        earlier = [entry for one in records for entry in one["evaluated"]]
        known = {(entry["task"], entry[key]): entry for entry in earlier for key in ("fingerprint", "network")}
        record = {
            "learned": state.learned,
            "task_name": task.name,
            "training_flops": learned.operations,
            "training_seconds": learned.seconds,
            "losses": learned.losses,
            "features_cached": learned.features_cached,
            "peak_memory_bytes": peak.bytes,
            "bytes_before": before.count_bytes(),
            "bytes": state.count_bytes() | {"frozen": self._frozen(cell, job.key[0])},
            **self._evaluate(cell, state, packed.checksums, stream, known, numbers),
        }
        return state, packed, record

    def _frozen(self, cell: Cell, label: str) -> int:
        if label not in self._frozen_bytes:
            self._frozen_bytes[label] = frozen_bytes(cell)
        return self._frozen_bytes[label]

    def _evaluate(
        self,
        cell: Cell,
        state: State,
        checksums: Mapping[str, str],
        stream: Stream,
        known: dict[tuple[int, str], dict[str, Any]],
        numbers: Sequence[int],
    ) -> dict[str, Any]:
        """The accuracies on tasks, the newest last; what is `known`, since nothing changed, is not evaluated again.

        Args:
            checksums: of the state's files.
            known: (task, fingerprint) -> what was measured; what is new is added. Tasks of the same images may have
                the same files, and still answer differently.
            numbers: of the tasks.
        """
        evaluated, new = [], 0
        began = time.perf_counter()
        for number in numbers:
            task = stream.tasks[number - 1]
            parts = evaluation_fingerprint(checksums, number, task.fingerprint)
            entry = known.get((number, parts))
            if entry is None or number == numbers[-1] or self._verify:
                network = network_for(cell, state, number, len(task.classes))
                # The parts may have changed where the task does not look.
                used = network_fingerprint(network, task.fingerprint)
                entry = entry or known.get((number, used))
                if entry is None or self._verify:
                    accuracy = evaluate(network, task.test, self.device, self.settings.precision)
                    if entry and entry["accuracy"] != accuracy:
                        raise EvaluationChangedError(
                            f"task {number} after {state.learned} tasks gives {accuracy}, and gave {entry['accuracy']} "
                            "before, although nothing that it depends on has changed"
                        )
                    new += entry is None
                    entry = {"task": number, "accuracy": accuracy, "images": len(task.test)}
                entry = {**entry, "fingerprint": parts, "network": used}
                known[number, parts] = known[number, used] = entry
            evaluated.append(entry)
        seconds = time.perf_counter() - began
        operations = inference_operations_per_image(network, len(task.classes), task.image_size)
        return {
            "evaluated": evaluated,
            "evaluations": new,
            "evaluation_seconds": seconds,
            "inference_flops_per_image": operations,
        }
