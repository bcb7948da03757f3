"""The answers of a state to the images of one task. They depend only on the tensors that the task uses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from benchmark.images.batches import image_batches
from benchmark.images.labelled import LabelledImages
from benchmark.images.layout import MemoryFormat
from benchmark.learning.answering import Answering
from benchmark.learning.learner import Cell
from benchmark.learning.precision import Precision, arithmetic, computing
from benchmark.storage.answers import Answers
from benchmark.storage.state import State, checksum_of
from methods.network import Network

#: Rules of task inference -> logits of one task's classes [N, C] -> how sure the network is, float [N].
Sureness: TypeAlias = Mapping[str, Callable[[Tensor], Tensor]]


class Choice(NamedTuple):
    """The logits that one answer is chosen from.

    Attributes:
        logits: [N, C].
        first: the number of the first class among them.
        measured: whether it is also wanted how sure the network is.
    """

    logits: Tensor
    first: int = 0
    measured: bool = False


def network_for(cell: Cell, state: State, task: int, classes: int) -> Network:
    """Return a new network that answers for `task`; see `Answering`, which makes one for many.

    Args:
        task: number of a learned task, from 1.
        classes: its class count.
    """
    return Answering(cell).network(state, task, classes)


def evaluate(
    network: Network,
    data: LabelledImages,
    device: torch.device,
    precision: Precision = "fp32",
    memory_format: MemoryFormat = "channels-last",
) -> Answers:
    """Return what a network in evaluation mode answers to each image of `data`, and how sure it is."""

    def choices(images: Tensor) -> list[Choice]:
        return [Choice(network(images))]

    batches = image_batches(data, device, memory_format)
    return answers_among(choices, batches, device, precision, weights_vary=network.weights_vary)[0]


@torch.inference_mode()
def answers_among(
    choices: Callable[[Tensor], Sequence[Choice]],
    batches: Iterable[Tensor],
    device: torch.device,
    precision: Precision = "fp32",
    sureness: Sureness | None = None,
    weights_vary: bool = False,
) -> list[Answers]:
    """Return the answers to each image, as many as `choices` gives logits for.

    Args:
        choices: a batch -> the logits of each answer.
        batches: images uint8 [n, C, S, S], or what else `choices` takes, on the device.
        device: where the network is.
        precision: of the passes.
        sureness: for the choices that are measured.
        weights_vary: of the network that `choices` asks, see there.
    """
    answers: list[_Columns] = []
    # A weight that is computed from other tensors is computed once, not in each pass, where that is right.
    once = nullcontext() if weights_vary else parametrize.cached()
    with arithmetic(precision, device), computing(precision, device), once:
        for batch in batches:
            given = choices(batch)
            answers = answers or [_Columns() for _ in given]
            for columns, choice in zip(answers, given, strict=True):
                columns.add(choice, sureness or {})
    return [columns.answers() for columns in answers]


class _Columns:
    """The answers to the images so far, on the device."""

    def __init__(self) -> None:
        self._classes: list[Tensor] = []
        self._confidence: list[Tensor] = []
        self._sureness: dict[str, list[Tensor]] = {}

    def add(self, choice: Choice, sureness: Sureness) -> None:
        answered = choice.logits.argmax(1, keepdim=True)
        logits = choice.logits.float()
        self._classes.append(answered + choice.first)
        self._confidence.append(logits.softmax(1).gather(1, answered))
        for rule, measure in sureness.items() if choice.measured else ():
            self._sureness.setdefault(rule, []).append(measure(logits).float())

    def answers(self) -> Answers:
        """All of them. Each kind is copied once, because a copy waits for the GPU."""
        sureness = {rule: torch.cat(values).cpu().numpy() for rule, values in self._sureness.items()}
        classes, confidence = (torch.cat(values)[:, 0].cpu().numpy() for values in (self._classes, self._confidence))
        return Answers(classes, confidence, sureness)


def evaluation_fingerprint(checksums: Mapping[str, str], task: int, data: str) -> str:
    """Return a hash of all that the answers to `task` depend on. In a cell the frozen part never changes.

    Args:
        checksums: the checksums of the state's files.
        data: fingerprint of the task's images.
    """
    used = (checksum_of(checksums, "shared"), checksum_of(checksums, f"task-{task}"), data)
    return hashlib.sha256("\n".join(used).encode()).hexdigest()
