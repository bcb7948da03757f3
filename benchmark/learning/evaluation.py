"""The accuracy of a state on one task. It depends only on the tensors that the task uses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from benchmark.images.batches import in_order
from benchmark.images.labelled import LabelledImages
from benchmark.learning.learner import Cell, prepare
from benchmark.learning.precision import Precision, computing
from benchmark.storage.state import State, checksum_of
from methods.network import Network


def network_for(cell: Cell, state: State, task: int, classes: int) -> Network:
    """Return the network that answers for `task`: frozen + shared + task/`task`, in evaluation mode.

    Args:
        task: number of a learned task, from 1.
        classes: its class count.
    """
    bench = prepare(cell, task)
    key = bench.head_key(task)
    if not bench.method.shared_head:
        bench.network.heads.add(key, classes)
    bench.restore(state.shared)
    bench.restore(state.tasks[task])
    bench.network.use_head(key, classes)
    return bench.network.eval()


@torch.inference_mode()
def evaluate(network: Network, data: LabelledImages, device: torch.device, precision: Precision = "fp32") -> float:
    """Return the share of `data` that a network in evaluation mode classifies correctly."""
    correct = torch.zeros((), dtype=torch.int64, device=device)
    # A weight that is computed from other tensors is computed once, not in each pass.
    with computing(precision, device), parametrize.cached():
        for images, labels in in_order(data, device):
            correct += (network(images).argmax(1) == labels).sum()
    return int(correct) / len(data)


def evaluation_fingerprint(checksums: Mapping[str, str], task: int, data: str) -> str:
    """Return a hash of all that the accuracy on `task` depends on. In a cell the frozen part never changes.

    Args:
        checksums: the checksums of the state's files.
        data: fingerprint of the task's images.
    """
    used = (checksum_of(checksums, "shared"), checksum_of(checksums, f"task-{task}"), data)
    return hashlib.sha256("\n".join(used).encode()).hexdigest()


@torch.no_grad()
def network_fingerprint(network: Network, data: str) -> str:
    """Return a hash of every value that the modules of a network in evaluation mode compute with.

    For a parametrised tensor, only the result is used: a mask may hide changes of its sources.

    Args:
        network: the network, with the head that answers in place.
        data: fingerprint of the task's images.
    """
    digest = hashlib.sha256(data.encode())
    for name, tensor in _effective(network):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _effective(network: Network) -> Iterator[tuple[str, Tensor]]:
    for prefix, module in network.named_modules(prefix="network"):
        if parametrize.is_parametrized(module):
            for name in module.parametrizations:
                yield f"{prefix}.{name}", getattr(module, name)
        if ".parametrizations" not in prefix:
            for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
                yield f"{prefix}.{name}", tensor
