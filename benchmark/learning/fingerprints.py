"""Hashes of what a task's answers depend on: where they are known, the task need not be evaluated again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from benchmark.learning.answering import Answering
from benchmark.learning.evaluation import evaluation_fingerprint
from benchmark.storage.state import State, Tensors, is_task
from methods.network import Network

# In the names of tensors that a weight is computed from.
_SOURCES = ".parametrizations."


class NetworkFingerprints:
    """Hashes of the values that the networks of a cell answer with.

    The files' checksums say which values have changed, so no network is needed for most methods. But where a weight is
    computed from shared tensors, only its value counts: a mask may hide that the tensors have changed. It is computed
    on the CPU, where the state is, so that a known result costs a GPU nothing.

    Args:
        answering: of the cell.
    """

    def __init__(self, answering: Answering):
        cell, cpu = answering.cell, torch.device("cpu")
        self._answering = answering if cell.device == cpu else Answering(replace(cell, device=cpu))
        self._shared: Tensors = {}
        self._plain = ""

    def of(self, state: State, checksums: Mapping[str, str], task: int, classes: int, data: str) -> str:
        """Return a hash of all values that the network of `task` answers with.

        Args:
            checksums: the checksums of the state's files.
            classes: the task's class count.
            data: fingerprint of the task's images.
        """
        if not any(_SOURCES in name for name in state.shared):
            return evaluation_fingerprint(checksums, task, data)
        own = {stem: checksum for stem, checksum in checksums.items() if is_task(stem)}
        digest = hashlib.sha256(evaluation_fingerprint(own, task, data).encode())
        digest.update(self._plain_digest(state.shared).encode())
        for name, value in _computed(self._answering.network(state, task, classes), state.shared):
            _add(digest, name, value)
        return digest.hexdigest()

    def _plain_digest(self, shared: Tensors) -> str:
        """The hash of the shared tensors that no weight is computed from, made once for all tasks."""
        if shared is not self._shared:
            digest = hashlib.sha256()
            for name, value in shared.items():
                if _SOURCES not in name:
                    _add(digest, name, value)
            self._shared, self._plain = shared, digest.hexdigest()
        return self._plain


@torch.no_grad()
def _computed(network: Network, shared: Tensors) -> Iterator[tuple[str, Tensor]]:
    """The weights that are computed from shared tensors."""
    for prefix, module in network.backbone.named_modules(prefix="backbone"):
        for name in module.parametrizations if parametrize.is_parametrized(module) else ():
            sources = f"{prefix}{_SOURCES}{name}."
            if any(source.startswith(sources) for source in shared):
                yield f"{prefix}.{name}", getattr(module, name)


def _add(digest: hashlib._Hash, name: str, value: Tensor) -> None:
    digest.update(name.encode())
    digest.update(value.detach().contiguous().flatten().view(torch.uint8).numpy().data)
