"""Learns the cells of a run, or single tasks of them, in every worker."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from benchmark.files import write_atomically
from benchmark.learning.course import CannotResumeError
from benchmark.learning.learner import Cell, LearnedTask, frozen_bytes, is_independent, learn, start
from benchmark.learning.memory import peak_memory
from benchmark.learning.panel import Panel
from benchmark.learning.training import Training
from benchmark.planning.preparation import Prepared
from benchmark.planning.scenarios import learned_as
from benchmark.progress.events import CellBegan, CellEnded, EpochDone, Guessing, Listener, TaskBegan, Told, Warned
from benchmark.running.executors.cells import Job
from benchmark.running.executors.evaluations import Evaluations
from benchmark.running.executors.inference import Inference
from benchmark.storage.answers import answers_path, checksum, lost_answers
from benchmark.storage.checkpoint import CheckpointFile, checkpoint_path, remove_checkpoints
from benchmark.storage.folder import RunFolder
from benchmark.storage.parallel_tasks import Alone, find_alone, save_alone, unite
from benchmark.storage.provenance import provenance
from benchmark.storage.records import CellKey, Records, record_path, write_record
from benchmark.storage.state import PackedState, State, load, pack, save
from benchmark.streams.base import Stream, Task
from benchmark.streams.columns import in_columns
from benchmark.streams.orders import reordered
from benchmark.task_inference.guesses import Guesses
from benchmark.task_inference.rules import FEATURE_NAMES
from benchmark.task_inference.sureness import SURENESS
from methods.errors import UserError
from methods.scenarios import Scenario


class KeepsError(RuntimeError):
    """A task that was learned alone has left something for the next one."""


class CellLearner:
    """Learns the cells of a run, and stores all results in its folder.

    Args:
        prepared: the run's settings, stream and backbone.
        folder: the run's folder.
        orders: the orders; each is a list of task numbers, from 1.
        keep_states: keep the shared and memory parts after every task.
        verify: repeat known evaluations and compare the results.
        checkpoint_minutes: how often a task is stored while it is learned; None for never.
    """

    def __init__(
        self,
        prepared: Prepared,
        folder: RunFolder,
        orders: list[list[int]],
        keep_states: bool,
        verify: bool,
        checkpoint_minutes: float | None = None,
    ):
        self.settings = prepared.settings
        self.device = prepared.device
        self._prepared = prepared
        self._methods = {method.label: method for method in prepared.methods}
        self._folder = folder
        self._orders = orders
        self._keep_states = keep_states
        self._verify = verify
        self._checkpoint_minutes = checkpoint_minutes
        self._frozen_bytes: dict[str, int] = {}
        self._streams: dict[tuple[Scenario, int], Stream] = {}
        # All present objects live to the end, so the garbage collector need not search them before each task.
        gc.collect()
        gc.freeze()
        atexit.register(gc.unfreeze)

    def are_independent(self, label: str) -> bool:
        """Whether the tasks of a method can be learned in any order, or in parallel.

        Raises:
            UserError: the method cannot learn with this backbone.
        """
        try:
            cell = self._cell((label, self.settings.seeds[0], 0))
            # The process that gives out jobs asks this, and never touches a GPU.
            return is_independent(replace(cell, device=torch.device("cpu")))
        except UserError:
            # The method cannot be used on this backbone.
            raise
        except Exception:
            # The method's cells fail too, and report the error.
            return False

    def do(self, job: Job, tell: Listener) -> None:
        """Learn the tasks that are not in the folder yet."""
        if job.task is None:
            self._learn_whole_cell(job, tell)
        else:
            self._learn_one_task_for_all_orders(job, job.task, tell)

    def _cell(self, key: CellKey) -> Cell:
        label, seed, _ = key
        method, stream = self._methods[label], self._stream(key)
        return Cell(
            self._prepared.backbone,
            method.make,
            stream.most_classes,
            seed,
            self.device,
            stream.names,
            self.settings.memory_format,
            self._scenario_of(key),
            stream.widths,
        )

    def _stream(self, key: CellKey) -> Stream:
        return self._ordered(key[2], self._scenario_of(key))

    def _scenario_of(self, key: CellKey) -> Scenario:
        """Return the scenario in which a cell learns."""
        return learned_as(self.settings.scenario, self._methods[key[0]])

    def _ordered(self, order: int, scenario: Scenario) -> Stream:
        """Return the stream in an order, with the labels of a scenario."""
        if (scenario, order) not in self._streams:
            stream = reordered(self._prepared.stream, self._orders[order])
            self._streams[scenario, order] = in_columns(stream, scenario)
        return self._streams[scenario, order]

    def _evaluations(self, key: CellKey) -> Evaluations:
        folder, cell, stream, rules = self._folder.cell(*key), self._cell(key), self._stream(key), self._rules(key)
        sureness = {rule: SURENESS[rule] for rule in rules if rule in SURENESS}
        panel = Panel(cell, self.settings.precision, sureness)
        inference = Inference(panel, stream, rules, self._guesses(key), folder) if rules else None
        return Evaluations(panel, stream, self._verify, folder, inference)

    def _rules(self, key: CellKey) -> tuple[str, ...]:
        """Return the rules by which a cell guesses tasks."""
        # Where one head answers for all domains, no task need be known.
        return () if self._scenario_of(key) == "domain" else tuple(self.settings.infer)

    def _guesses(self, key: CellKey) -> Guesses | None:
        """Return the guesses of the rules that look at frozen features: the same for all methods."""
        _, seed, order = key
        rules = [rule for rule in self.settings.infer if rule in FEATURE_NAMES]
        if not rules:
            return None
        return Guesses(
            self._folder.guesses(seed, order),
            self._prepared.backbone,
            self._ordered(order, "task"),
            seed,
            rules,
            self.device,
            self.settings.precision,
            self.settings.memory_format,
        )

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

    def _learn_whole_cell(self, job: Job, tell: Listener) -> None:
        """Call learn() for each task of the stream, starting after the last task in the folder."""
        evaluations, tasks, folder = self._evaluations(job.key), len(self._stream(job.key)), self._folder.cell(*job.key)
        # The progress of each epoch is shown once.
        epochs = 0 if job.counted else self._prepared.epochs(job.key[0])
        unite(folder)
        state, records = self._load(job.key, evaluations)
        if self._take_over(job, state.learned) and unite(folder):
            state, records = self._load(job.key, evaluations)
        tell(CellBegan(job.name, tasks, state.learned, epochs))
        remove_checkpoints(folder, state.learned)

        def guessing(learned: int) -> None:
            tell(Guessing(job.name, learned))

        evaluations.complete(state, records, guessing)
        while state.learned < tasks:
            numbers = range(1, state.learned + 2)
            state, packed, record = self._learn_and_measure(job, evaluations, state, records, numbers, tell)
            self._folder.check()
            self._folder.check_records(job.key, range(1, len(records) + 1))
            save(folder, packed, record, self._keep_states)
            remove_checkpoints(folder, state.learned)
            records.append({**record, "checksums": packed.checksums})
            self._take_over(job, state.learned)
            # An earlier process with parallel tasks may have learned the next tasks already.
            if unite(folder):
                state, records = self._load(job.key, evaluations)
                tell(CellBegan(job.name, tasks, state.learned, epochs))
            evaluations.complete(state, records, guessing)
        tell(CellEnded(job.name))

    def _load(self, key: CellKey, evaluations: Evaluations) -> tuple[State, Records]:
        """Return the newest state and the records up to it, after files of answers were made again where needed."""
        folder = self._folder.cell(*key)
        state, records = load(folder, lambda: start(evaluations.cell), self._rules(key))
        for learned in lost_answers(folder, records):
            # The state still gives the same answers: `load` has made sure of it.
            content = evaluations.again(state, records, learned)
            self._folder.check()
            write_atomically(answers_path(folder, learned), content)
            if checksum(content) != records[learned - 1]["answers"]:
                # Another processor may give other last digits of a confidence.
                records[learned - 1]["answers"] = checksum(content)
                write_record(record_path(folder, learned), records[learned - 1])
        return state, records

    def _take_over(self, job: Job, learned: int) -> bool:
        """Copy missing tasks after the first `learned` tasks from other orders; return whether there were any."""
        folder, taken = self._folder.cell(*job.key), False
        for number in range(learned + 1, len(self._orders[job.key[2]]) + 1) if job.twins else ():
            if find_alone(folder, number) is None and (found := self._find(job.twins, self._task(job.key, number))):
                # `save` would have written the same record.
                kept = {"keep_states": True} if self._keep_states else {}
                self._keep(job.key, number, replace(found, record=found.record | kept))
                taken = True
        return taken

    def _task(self, key: CellKey, number: int) -> int:
        """Return the number in the stream of task `number` of a cell's order."""
        return self._orders[key[2]][number - 1]

    def _place(self, key: CellKey, task: int) -> int:
        """Return the inverse of `_task`."""
        return self._orders[key[2]].index(task) + 1

    def _find(self, keys: Sequence[CellKey], task: int) -> Alone | None:
        """Return the stream's task as one of these cells has learned it; None if no cell has."""
        found = (find_alone(self._folder.cell(*key), self._place(key, task)) for key in keys)
        return next((alone for alone in found if alone), None)

    def _keep(self, key: CellKey, number: int, alone: Alone) -> None:
        moved = alone.moved(number)
        self._folder.check()
        save_alone(self._folder.cell(*key), moved.packed, moved.record)

    def _learn_one_task_for_all_orders(self, job: Job, number: int, tell: Listener) -> None:
        """Learn one task of a cell with independent tasks, for all orders."""
        tell(CellBegan(job.name, 1, 0, self._prepared.epochs(job.key[0])))
        task = self._task(job.key, number)
        alone = self._find(job.cells, task) or self._learn_one_task(job, number, tell)
        for key in job.cells:
            if find_alone(self._folder.cell(*key), self._place(key, task)) is None:
                self._keep(key, self._place(key, task), alone)
        checkpoint_path(self._folder.cell(*job.key), number).unlink(missing_ok=True)
        tell(CellEnded(job.name))

    def _learn_one_task(self, job: Job, number: int, tell: Listener) -> Alone:
        """Learn one task of a cell by itself.

        Raises:
            KeepsError: later tasks need this one.
        """
        # Only the number of the earlier tasks matters.
        state, packed, record = self._learn_and_measure(
            job, self._evaluations(job.key), State(number - 1, {}), [], [number], tell
        )
        if state.shared or state.memory:
            # The whole task is learned again.
            tell(CellBegan(job.name, 1, 0, self._prepared.epochs(job.key[0])))
            tell(CellEnded(job.name))
            raise KeepsError(f"{job.key[0]} keeps something for the next task")
        return Alone(packed, record)

    def _learn_and_measure(
        self,
        job: Job,
        evaluations: Evaluations,
        before: State,
        records: Records,
        numbers: Sequence[int],
        tell: Listener,
    ) -> tuple[State, PackedState, dict[str, Any]]:
        """Learn the next task.

        Args:
            evaluations: the cell's.
            before: the state before the task.
            records: the records of the tasks in that state.
            numbers: the tasks to evaluate; the new one is the last.

        Returns:
            The state after the task, its files, and the measurements.
        """
        cell, task = evaluations.cell, self._stream(job.key).tasks[before.learned]
        tell(TaskBegan(job.name, before.learned + 1, task.name))
        checkpoints = self._checkpoints(job, cell, before, records, task, tell)
        with peak_memory(self.device) as peak:
            learned = self._learn_from_checkpoint(job, cell, before, task, checkpoints, tell)
        state = learned.state
        packed = pack(state, before, records[-1]["checksums"] if records else {})
        evaluated, answers = evaluations.after(state, packed.checksums, records, numbers)
        record = {
            "learned": state.learned,
            "task_name": task.name,
            "training_flops": learned.operations,
            "training_seconds": learned.timing.training,
            "training_spread_seconds": learned.timing.spread,
            "epoch_seconds": learned.timing.epochs,
            "losses": learned.losses,
            "features_cached": learned.features_cached,
            **_stopped(learned),
            "peak_memory_bytes": peak.bytes,
            "bytes_before": before.count_bytes(),
            "bytes": state.count_bytes() | {"frozen": self._frozen(cell, job.key[0])},
            **evaluated,
        }
        return state, replace(packed, answers=answers), record

    def _learn_from_checkpoint(
        self, job: Job, cell: Cell, before: State, task: Task, checkpoints: CheckpointFile | None, tell: Listener
    ) -> LearnedTask:
        """Call learn(), and once more if the checkpoint turns out not to fit."""
        how = (cell, before, task, self._training(job.key), lambda: tell(EpochDone(job.name)))
        try:
            return learn(*how, checkpoints)
        except CannotResumeError as error:
            assert checkpoints is not None
            checkpoints.refuse(str(error))
            return learn(*how, checkpoints)

    def _checkpoints(
        self, job: Job, cell: Cell, before: State, records: Records, task: Task, tell: Listener
    ) -> CheckpointFile | None:
        """Return the file of the checkpoints of the next task; None if there are none and shall be none."""
        number = before.learned + 1

        def about() -> dict[str, str]:
            made = provenance([], cell.device.type)
            return {
                "the program": str(made["commit"]),
                **{f"the version of {name}": str(version) for name, version in made["versions"].items()},
                "the device": cell.device.type,
                "the cell": repr(job.key),
                "the task": task.name,
                "the training": repr(self._training(job.key)),
                "the state before the task": repr(sorted(records[-1]["checksums"].items()) if records else number),
            }

        file = CheckpointFile(
            self._folder.cell(*job.key),
            number,
            self._checkpoint_minutes,
            about,
            lambda text: tell(Warned(text)),
            lambda text: tell(Told(text)),
            job.name,
        )
        return file if self._checkpoint_minutes is not None or file.path.exists() else None

    def _frozen(self, cell: Cell, label: str) -> int:
        if label not in self._frozen_bytes:
            self._frozen_bytes[label] = frozen_bytes(cell)
        return self._frozen_bytes[label]


def _stopped(learned: LearnedTask) -> dict[str, Any]:
    """Return the entries of a record about the epochs, where validation images decided on them."""
    stopping = learned.stopping
    if stopping is None:
        return {}
    return {
        "epochs_learned": stopping.learned,
        "epoch_kept": stopping.kept,
        "kept_validation_accuracy": stopping.accuracy,
        "validation_accuracies": stopping.accuracies,
    }
