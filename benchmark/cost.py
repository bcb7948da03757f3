"""What a method costs: floating-point operations, bytes, and peak memory."""

from __future__ import annotations

import copy
import ctypes
import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from benchmark.model import Network
from methods.errors import UserError, first_line


def _convolution_backward(
    grad_output: torch.Size,
    images: torch.Size,
    weight: torch.Size,
    *settings: Any,
    out_shape: Any = None,
    **kwargs: Any,
) -> int:
    """Operations of a convolution's backward pass; torch's own formula ignores groups in the weight's gradient.

    The gradients of the input and of the weight each repeat the forward pass's multiplications: one for each output
    value and each weight that reaches it.
    """
    transposed, output_mask = settings[4], settings[7]
    positions = images if transposed else grad_output
    return 2 * sum(output_mask[:2]) * positions[0] * prod(positions[2:]) * prod(weight)


class _WholeProgram(nullcontext[None]):
    """In place of what torch tells modules apart by: its hooks fail where a module is given a bare parameter."""

    parents = frozenset({"Global"})


class OperationCounter(FlopCounterMode):
    """Counts the floating-point operations, 2 for a multiplication and addition, of convolutions and matrix products.

    Use as a context manager; `get_total_flops()` is the count.
    """

    def __init__(self) -> None:
        mapping = {torch.ops.aten.convolution_backward: _convolution_backward}
        super().__init__(display=False, custom_mapping=mapping)
        self.mod_tracker = _WholeProgram()  # type: ignore[assignment]


def training_operations_per_image(pristine: Network, classes: int, image_size: int) -> int:
    """Operations of one image's forward and backward pass when the whole network and a new head are trained.

    This is `sgd`, the unit of normalised compute; it is found on tensors without data, so nothing is trained.

    Raises:
        UserError: the backbone cannot take images of that size.
    """
    network = _fine_tuned(pristine, classes)
    images = torch.empty(2, 3, image_size, image_size, dtype=torch.uint8, device="meta")
    labels = torch.empty(2, dtype=torch.int64, device="meta")
    with OperationCounter() as counter:
        try:
            logits = network(images)
        except RuntimeError as error:
            raise UserError(
                f"--image-size {image_size} does not suit the backbone, try a larger one: {first_line(error)}"
            ) from error
        cross_entropy(logits, labels).backward()
    return counter.get_total_flops() // 2


def _fine_tuned(pristine: Network, classes: int) -> Network:
    """A copy without data, with a head, of which everything is trained."""
    network = copy.deepcopy(pristine)
    network.heads.add("1", classes)
    network.use_head("1", classes)
    return network.to("meta").train().requires_grad_(True)


def training_memory(pristine: Network, classes: int, image_size: int, batch_size: int) -> int:
    """Bytes of a fine-tuning step: what the forward pass keeps for the backward pass, weights, gradients, momentum.

    Found on tensors without data, like the operations.
    """
    network = _fine_tuned(pristine, classes)
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        # Several operations may keep the same values.
        storage = tensor.untyped_storage()
        kept[id(storage)] = storage
        return tensor

    for parameter in network.parameters():
        keep(parameter)
    weights = sum(storage.nbytes() for storage in kept.values())
    images = torch.empty(batch_size, 3, image_size, image_size, dtype=torch.uint8, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(images)
    return sum(storage.nbytes() for storage in kept.values()) + logits.nbytes + 2 * weights


def inference_operations_per_image(network: Network, classes: int, image_size: int) -> int:
    """Operations of one image's forward pass, hooks included, with a head of `classes` units."""
    network = copy.deepcopy(network)
    network.heads.add("counted", classes)
    network.use_head("counted", classes)
    network.to("meta").eval()
    images = torch.empty(1, 3, image_size, image_size, dtype=torch.uint8, device="meta")
    with OperationCounter() as counter, torch.no_grad():
        network(images)
    return counter.get_total_flops()


def backbone_size(pristine: Network) -> dict[str, int]:
    """The backbone as given: its `parameters`, and the `bytes` of all its tensors, buffers included."""
    return {
        "parameters": sum(p.numel() for p in pristine.backbone.parameters()),
        "bytes": tensor_bytes({name: tensor for name, _, tensor in pristine.tensors()}),
    }


def tensor_bytes(tensors: Mapping[str, Tensor]) -> int:
    """The bytes of the tensors' values: what their file holds beside its header."""
    return sum(tensor.nbytes for tensor in tensors.values())


class PeakMemory:
    """`bytes` after the block: the most memory it held beyond what was held before; None where that is unknown.

    On a GPU, what torch allocated; on Linux, the resident memory of the process, which the kernel tracks.
    """

    bytes: int | None


@contextmanager
def peak_memory(device: torch.device) -> Iterator[PeakMemory]:
    """Measure a block's peak memory; see PeakMemory."""
    peak = PeakMemory()
    peak.bytes = None
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated(device)
        return
    before = _resident("VmRSS") if _reset_peak() else None
    yield peak
    after = _resident("VmHWM")
    if before is not None and after is not None:
        peak.bytes = max(0, after - before)


def _reset_peak() -> bool:
    """Let the kernel track the process's peak anew; False where it cannot."""
    try:
        # Pages that earlier methods freed would hide what this one needs.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return False
    return True


def _resident(field: str) -> int | None:
    """A field of the process's memory status, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":")), None)
