"""Asks the networks of a cell's tasks about images: one of them, or all of them in one pass where that is possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from benchmark.images.batches import image_batches
from benchmark.images.labelled import LabelledImages
from benchmark.learning.answering import Answering
from benchmark.learning.evaluation import Choice, Sureness, answers_among
from benchmark.learning.learner import Cell
from benchmark.learning.precision import Precision
from benchmark.storage.answers import DERIVED, Answers
from benchmark.storage.state import State
from methods.network import Network


@dataclass(frozen=True)
class Given:
    """What was answered to the images of one task.

    Attributes:
        own: the scenario's answers and those that are derived from the same logits, by their names.
        by_task: task -> what its network answers, among its own classes, and how sure it is by each rule.
    """

    own: Mapping[str, Answers]
    by_task: Mapping[int, Answers]


class Panel:
    """The networks of a cell's tasks.

    Args:
        cell: the cell, with the class counts of its tasks.
        precision: of the passes.
        sureness: how sure a network is, by each rule that is asked for.
    """

    def __init__(self, cell: Cell, precision: Precision, sureness: Sureness | None = None):
        self.cell = cell
        self.answering = Answering(cell)
        self.sureness = sureness or {}
        self._precision: Precision = precision
        # Digest of images -> their features, on the CPU, where these are the same after every task. Answers from them
        # equal those of a new pass bit for bit, because the batches are the same.
        self._seen: dict[str, list[Tensor]] = {}

    def anew(self) -> Panel:
        """Return a panel that makes its networks anew."""
        return Panel(self.cell, self._precision, self.sureness)

    def classes(self, task: int) -> int:
        """Return the class count of a task."""
        return self.cell.widths[task - 1]

    def is_together(self, state: State) -> bool:
        """Whether one pass gives what the networks of all tasks answer."""
        return self.cell.scenario != "task" or self.answering.differ_by_head(state)

    def ask(self, state: State, task: int, images: LabelledImages, together: Sequence[int] = ()) -> Given:
        """Return the answers to images, from one pass, or from the features of an earlier one where these stay.

        Args:
            state: the state that answers.
            task: the task whose images these are, from 1; its network answers.
            images: the images.
            together: the tasks whose networks are asked in the same pass; only where `is_together`.
        """
        others = [other for other in together if other != task]
        network = self.answering.network(state, task, self.classes(task), {k: self.classes(k) for k in others})
        features = self._features(network, state, images)
        how = (features, self.cell.device, self._precision, self.sureness, network.weights_vary)
        if self.cell.scenario == "task":
            heads = [(self.answering.head_key(k), self.classes(k)) for k in (task, *others)]

            def of_heads(features: Tensor) -> Iterator[Choice]:
                for key, classes in heads:
                    network.use_head(key, classes)
                    yield Choice(network.answer(features), measured=True)

            given = answers_among(lambda features: list(of_heads(features)), *how)
            return Given({"task": given[0]}, dict(zip((task, *others), given, strict=True)))
        columns = self.cell.columns(state.learned)
        own: dict[str, range] = {self.cell.scenario: range(network.classes)}
        if self.cell.scenario == "class":
            own[DERIVED] = columns[task - 1]

        def of_columns(features: Tensor) -> Iterator[Choice]:
            logits = network.answer(features)
            for part in own.values():
                yield Choice(logits[:, part.start : part.stop], part.start)
            for k in together:
                yield Choice(logits[:, columns[k - 1].start : columns[k - 1].stop], measured=True)

        given = answers_among(lambda features: list(of_columns(features)), *how)
        return Given(dict(zip(own, given, strict=False)), dict(zip(together, given[len(own) :], strict=True)))

    def _features(self, network: Network, state: State, images: LabelledImages) -> Iterator[Tensor]:
        """The features of images, batch after batch, as they are asked for."""
        passes = map(network.features, image_batches(images, self.cell.device, self.cell.memory_format))
        if not self.answering.see_alike(state):
            yield from passes
            return
        if images.digest not in self._seen:
            self._seen[images.digest] = [features.cpu() for features in passes]
        for features in self._seen[images.digest]:
            yield features.to(self.cell.device)

    def operations(self, state: State, task: int, image_size: int) -> int:
        """Return the floating-point operations of the network of a task for one image."""
        return self.answering.operations(state, task, self.classes(task), image_size)

    def operations_of_all(self, state: State, image_size: int) -> int:
        """Return those that it takes to ask the networks of all tasks about one image."""
        tasks = range(1, state.learned + 1)
        if self.cell.scenario != "task":
            return self.operations(state, state.learned, image_size)
        if not self.is_together(state):
            return sum(self.operations(state, task, image_size) for task in tasks)
        features = self.answering.network(state, state.learned, self.classes(state.learned)).feature_dim
        more = sum(2 * features * self.classes(task) for task in tasks[:-1])
        return self.operations(state, state.learned, image_size) + more
