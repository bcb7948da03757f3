"""A learned network as a program of torch.export: it runs without this package, with its normalisation inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from benchmark.images.layout import MemoryFormat, laid_out
from benchmark.learning.answering import Answering
from benchmark.learning.precision import Precision, arithmetic
from benchmark.using.learned import Learned
from methods.errors import UserError, first_line
from methods.network import Network

# Images of the passes that compare a program with its network. A dimension of 1 in an example would be taken for fixed.
_EXAMPLE, _PROBES = 2, (1, 3)
# Of programs: bfloat16 would be that of one kind of device.
_PRECISION: Precision = "fp32"
# How far a program's logits may be from the network's: another order of float32 sums is allowed.
_RELATIVE, _ABSOLUTE = 1e-4, 1e-4


class Deployed(nn.Module):
    """A network in one module: uint8 images [N, C, S, S] -> logits [N, classes].

    Args:
        network: in evaluation mode, with its head chosen; it becomes a part of this.
        columns: the logits that answer.
        memory_format: in which the images pass through the network.
    """

    def __init__(self, network: Network, columns: slice, memory_format: MemoryFormat):
        super().__init__()
        # Who asks a program wants answers, and no gradients.
        self.network = network.requires_grad_(False)
        self.columns = columns
        self.memory_format: MemoryFormat = memory_format

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        network = self.network
        features = network.backbone(network.normalised(laid_out(images, self.memory_format)))
        return network.answer(features)[:, self.columns]


def deployed(learned: Learned, place: int | None, memory_format: MemoryFormat | None = None) -> Deployed:
    """The network that answers for a task, alone in a module.

    Args:
        learned: what was learned; on the CPU.
        place: of the task; None for all classes of a head that answers for all tasks.
        memory_format: in which the images pass; that of the run if None.
    """
    network = network_of(learned, place or learned.state.learned)
    columns = slice(None)
    if learned.cell.scenario == "class" and place is not None:
        own = learned.cell.columns(learned.state.learned)[place - 1]
        columns = slice(own.start, own.stop)
    return Deployed(network, columns, memory_format or learned.cell.memory_format).eval()


def network_of(learned: Learned, place: int) -> Network:
    """A new network that answers for a task."""
    return Answering(learned.cell).network(learned.state, place, learned.widths[place - 1])


def export(learned: Learned, module: nn.Module, *more: Any, dynamic: tuple[Any, ...] = ()) -> ExportedProgram:
    """The program of a module whose first argument is images, for any number of them.

    Args:
        learned: what the module is of.
        module: in evaluation mode, on the CPU.
        more: examples of its other arguments.
        dynamic: of these arguments, the dimensions that may change; as torch.export takes them.

    Raises:
        UserError: torch cannot make a program of it.
    """
    sizes = ({0: Dim("images", min=1)}, *dynamic)
    try:
        with traced(learned.cell.device):
            return torch.export.export(module, (_noise(learned, _EXAMPLE), *more), dynamic_shapes=sizes)
    except Exception as error:  # torch raises anything for code that it cannot follow
        raise UserError(
            f"export: torch.export cannot make a program of {learned.key[0]} on {learned.manifest.backbone['spec']} "
            f"({first_line(error)}); `predict` answers with it"
        ) from error


@contextmanager
def traced(device: torch.device) -> Iterator[None]:
    """While a program is made: without gradients, in float32, and without torch's talk."""
    level = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            with torch.no_grad(), arithmetic(_PRECISION, device):
                yield
        finally:
            logging.disable(level)


@torch.no_grad()
def check_answers(learned: Learned, network: nn.Module, program: Any, *more: Any) -> None:
    """Check that a program answers as its network does, for one image and for several.

    Args:
        learned: what the network is of.
        network: takes images.
        program: takes images, and `more`.
        more: its other arguments.

    Raises:
        UserError: it answers otherwise.
    """
    for count in _PROBES:
        images = _noise(learned, count)
        with arithmetic(_PRECISION, learned.cell.device):
            wanted = network(images)
        given = program(images, *more)
        if not torch.allclose(wanted, given, _RELATIVE, _ABSOLUTE, equal_nan=True):
            raise UserError(
                f"export: the program of {learned.key[0]} answers otherwise than its network (logits differ by "
                f"{float((wanted - given).abs().max()):.2g}), so that it is not written; `predict` answers with it"
            )


def _noise(learned: Learned, count: int) -> Tensor:
    """Images of noise, [count, C, S, S]."""
    shape = (count, learned.channels, learned.image_size, learned.image_size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(count))


def count_values(tensors: Mapping[str, Tensor]) -> int:
    """How many values tensors have."""
    return sum(tensor.numel() for tensor in tensors.values())
