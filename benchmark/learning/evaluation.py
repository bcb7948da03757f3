"""The answers of a state to the images of one task. They depend only on the tensors that the task uses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from benchmark.images.batches import in_order
from benchmark.images.labelled import LabelledImages
from benchmark.images.layout import MemoryFormat
from benchmark.learning.answering import Answering
from benchmark.learning.learner import Cell
from benchmark.learning.precision import Precision, arithmetic, computing
from benchmark.storage.answers import Answers
from benchmark.storage.state import State, checksum_of
from methods.network import Network


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
    return answers_among((range(network.classes),), network, data, device, precision, memory_format)[0]


@torch.inference_mode()
def answers_among(
    choices: Sequence[range],
    network: Network,
    data: LabelledImages,
    device: torch.device,
    precision: Precision = "fp32",
    memory_format: MemoryFormat = "channels-last",
) -> list[Answers]:
    """Return the answers where only these columns of the logits may answer, for each choice.

    The images pass through the network once.
    """
    classes: list[list[Tensor]] = [[] for _ in choices]
    confidence: list[list[Tensor]] = [[] for _ in choices]
    # A weight that is computed from other tensors is computed once, not in each pass.
    with arithmetic(precision), computing(precision, device), parametrize.cached():
        for images, _ in in_order(data, device, memory_format):
            logits = network(images)
            for k, columns in enumerate(choices):
                own = logits[:, columns.start : columns.stop]
                answered = own.argmax(1, keepdim=True)
                classes[k].append(answered + columns.start)
                confidence[k].append(own.float().softmax(1).gather(1, answered))
    # One copy of each at the end, because a copy waits for the GPU.
    return [
        Answers(torch.cat(each)[:, 0].cpu().numpy(), torch.cat(sure)[:, 0].cpu().numpy())
        for each, sure in zip(classes, confidence, strict=True)
    ]


def evaluation_fingerprint(checksums: Mapping[str, str], task: int, data: str) -> str:
    """Return a hash of all that the answers to `task` depend on. In a cell the frozen part never changes.

    Args:
        checksums: the checksums of the state's files.
        data: fingerprint of the task's images.
    """
    used = (checksum_of(checksums, "shared"), checksum_of(checksums, f"task-{task}"), data)
    return hashlib.sha256("\n".join(used).encode()).hexdigest()
