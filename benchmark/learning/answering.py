"""The network that answers for the tasks of a cell, kept from one evaluation to the next."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from benchmark.learning.learner import Cell, prepare, switch_task
from benchmark.learning.operations import inference_operations_per_image
from benchmark.learning.workbench import Workbench
from benchmark.storage.state import State, Tensors
from methods.heads import is_head
from methods.network import Network


@dataclass(frozen=True)
class _Wanted:
    """What a network is to answer with.

    Attributes:
        shared, own: the shared tensors, and those of the task.
        task: the task's number.
        classes: how many logits answer.
        others: tasks whose heads are wanted too -> their class counts.
    """

    shared: Tensors
    own: Tensors
    task: int
    classes: int
    others: Mapping[int, int] = field(default_factory=dict)

    def is_same(self, other: _Wanted) -> bool:
        same_task = (self.task, self.classes, self.others) == (other.task, other.classes, other.others)
        return same_task and self.shared is other.shared and self.own is other.own


class Answering:
    """One network for all tasks of a cell, where the method allows it: made once, then given the tensors that change.

    It answers bit for bit like a network that is made for one task and state alone. Where a kept network might answer
    otherwise, a new one is made: see `Method.switch_task`.

    Args:
        cell: the cell; the network is on its device.
    """

    def __init__(self, cell: Cell):
        self.cell = cell
        self._bench: Workbench | None = None
        self._now: _Wanted | None = None
        # The names of the shared tensors in the network, of those of the task, and of all that were ever put there.
        self._shared: set[str] = set()
        self._own: set[str] = set()
        self._ever: set[str] = set()
        self._versions: list[tuple[int, int]] = []
        self._operations: dict[Hashable, int] = {}

    def network(self, state: State, task: int, classes: int, others: Mapping[int, int] | None = None) -> Network:
        """Return the network that answers for `task`: frozen + shared + task/`task`, in evaluation mode.

        The next call may change it.

        Args:
            state: its tensors must not be written into as long as this object is used.
            task: number of a learned task, from 1.
            classes: its class count.
            others: tasks -> their class counts; their heads are in the network too, if `differ_by_head`.
        """
        return self._with(self._wanted(state, task, classes, others or {})).network

    def head_key(self, task: int) -> str:
        """Return the name of the head that answers for a task, in the network that was made last."""
        assert self._bench is not None
        return self._bench.head_key(task)

    def differ_by_head(self, state: State) -> bool:
        """Whether the networks of the tasks have the same features and differ in their heads alone."""
        bench = self._bench or prepare(self.cell, 1)
        return bench.is_same_for_all_tasks and all(all(map(is_head, own)) for own in state.tasks.values())

    def see_alike(self, state: State) -> bool:
        """Whether an image has the same features after every task and for every task: only heads are ever trained."""
        bench = self._bench or prepare(self.cell, 1)
        return bench.trains_head_only and not bench.network.weights_vary and self.differ_by_head(state)

    def operations(self, state: State, task: int, classes: int, image_size: int) -> int:
        """Return the floating-point operations for one image of a task, counted once where tasks have the same."""
        wanted = self._wanted(state, task, classes)
        # Some methods have more shared tensors after each task.
        form = (wanted.classes, image_size, tuple(name for name in wanted.shared if not is_head(name)))
        if form in self._operations:
            return self._operations[form]
        bench = self._with(wanted)
        bench.method.task_was_read = False
        operations = inference_operations_per_image(bench.network, wanted.classes, image_size)
        if bench.serves_all_tasks and not bench.method.task_was_read:
            self._operations[form] = operations
        return operations

    def _wanted(self, state: State, task: int, classes: int, others: Mapping[int, int] | None = None) -> _Wanted:
        answered = self.cell.answered(state.learned, classes)
        if self.cell.scenario != "task":
            # Nobody tells the task: one network answers for all of them.
            task = state.learned
        if not others or self.cell.scenario != "task":
            return _Wanted(state.shared, state.tasks[task], task, answered)
        own = {name: tensor for k in (*others, task) for name, tensor in state.tasks[k].items()}
        return _Wanted(state.shared, own, task, answered, others)

    def _with(self, wanted: _Wanted) -> Workbench:
        bench = self._kept(wanted) or self._made(wanted)
        self._bench, self._now, self._versions = bench, wanted, _versions(bench.network)
        return bench

    def _kept(self, wanted: _Wanted) -> Workbench | None:
        """The kept network with what is wanted; None if a new one is needed."""
        bench, now = self._bench, self._now
        # A pass that changed a tensor, as statistics, must not change the next answers.
        if bench is None or now is None or self._versions != _versions(bench.network):
            return None
        if now.is_same(wanted):
            return bench
        if not bench.serves_all_tasks:
            return None
        self._now = None
        switch_task(self.cell, bench, wanted.task)
        # A task may have its own values for shared tensors.
        self._fill(bench, wanted, with_shared=now.shared is not wanted.shared or bool(self._shared & self._own))
        return bench if self._ever <= self._shared | self._own else None

    def _made(self, wanted: _Wanted) -> Workbench:
        # The old network is freed first, so that there are never two.
        self._bench = self._now = None
        self._ever = set()
        self._operations = {}
        bench = prepare(self.cell, wanted.task)
        self._fill(bench, wanted, with_shared=True)
        bench.lay_out(self.cell.memory_format)
        return bench

    def _fill(self, bench: Workbench, wanted: _Wanted, with_shared: bool) -> None:
        network, key = bench.network, bench.head_key(wanted.task)
        # The values of a joint head are in the shared part.
        if not bench.head_is_fixed and (with_shared or not bench.is_joint):
            network.heads.clear()
            for task, classes in {wanted.task: wanted.classes, **wanted.others}.items():
                network.heads.add(bench.head_key(task), classes)
        if with_shared:
            self._shared = _of_backbone(bench.restore(wanted.shared))
        self._own = _of_backbone(bench.restore(wanted.own))
        self._ever |= self._shared | self._own
        network.use_head(key, wanted.classes)
        network.eval()


def _of_backbone(names: set[str]) -> set[str]:
    return {name for name in names if not is_head(name)}


def _versions(network: Network) -> list[tuple[int, int]]:
    """Which tensors the network has, and how often each was written into; -1 if torch does not count it."""
    tensors = (*network.parameters(), *network.buffers())
    return [(id(tensor), -1 if tensor.is_inference() else tensor._version) for tensor in tensors]
