"""The floating-point formats in which the network computes."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.backends import cuda, cudnn, mha, mkldnn

from benchmark.machine.gpus import visible_gpus
from methods.devices import is_gpu
from methods.errors import UserError

#: "fp32": float32 with all of its bits. "tf32": the same, but a GPU rounds the factors of convolutions and matrix
#: products to 10 bits. "bf16": the backbone's convolutions, matrix products and later operations use bfloat16 if
#: torch.autocast considers it safe; heads, weights, gradients and the optimiser's state stay in float32.
Precision = Literal["fp32", "tf32", "bf16"]

# GPUs from this compute capability on (Ampere) have TF32 and bfloat16.
_AMPERE = (8, 0)

_NO_CONTEXT = nullcontext()

# For each way of computing attention: whether it is allowed, and what allows it.
_ATTENTIONS = (
    (cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
    (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
    (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp),
    (cuda.math_sdp_enabled, cuda.enable_math_sdp),
)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether all GPUs, or, as PyTorch finds, this machine's processor, have bfloat16 arithmetic.

    Raises:
        UserError: CUDA does not work here.
    """
    if device.type == "cuda":
        return all(gpu.capability >= _AMPERE for gpu in visible_gpus())
    if device.type == "mps":
        return bool(torch.backends.mps.is_macos_or_newer(14, 0))
    # All PyTorch versions since 2.7 have the functions used here. This one is exact on ARM.
    if not mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    # On x86 it is true for any AVX-512, but some AVX-512 has no bfloat16.
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse TF32 where nothing would be computed in it.

    Raises:
        UserError: the run computes on the CPU, a GPU is too old, or CUDA does not work here.
    """
    if precision != "tf32":
        return
    if device.type != "cuda":
        where = "on a GPU of Apple's, and only those of CUDA" if device.type == "mps" else "on the CPU, and only GPUs"
        raise UserError(
            f"--precision tf32: this run computes {where} have TF32; use --precision fp32, or a GPU"
            + (" of CUDA" if device.type == "mps" else "")
        )
    for gpu in visible_gpus():
        if gpu.capability < _AMPERE:
            raise UserError(
                f"--precision tf32: the {gpu.name} has no TF32, which GPUs have since Ampere (compute capability "
                "8.0); use --precision fp32"
            )


def precision_warnings(precision: Precision, device: torch.device) -> tuple[str, ...]:
    """Return warnings about a precision on a device, one line each, to show before training.

    Raises:
        UserError: CUDA does not work here.
    """
    if precision != "bf16" or computes_bfloat16(device):
        return ()
    where = "GPU" if is_gpu(device) else "processor"
    return (
        f"--precision bf16: PyTorch finds no bfloat16 arithmetic in this {where}, and may take several times as long "
        "as with --precision fp32",
    )


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which forward passes have that precision on a device."""
    if precision != "bf16":
        return _NO_CONTEXT
    # A cache of converted weights saves nothing, since a pass uses each once, and it is stale after the weights change.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """In the block torch computes in float32 exactly as `precision` says, and repeats give the same bits.

    All that learns or evaluates does so in such a block. After it torch's settings, which are those of the whole
    process, are as they were.

    Attention is computed in the same way in training and in evaluation. On a GPU it is two matrix products and a
    softmax, because the gradients of torch's faster ways are not the same each time.
    """
    before = _Flags.now()
    rounded = precision == "tf32"
    _Flags(
        convolutions_tf32=rounded,
        products="high" if rounded else "highest",
        formats=("tf32" if rounded else "ieee",) * len(before.formats),
        attentions=(device.type == "cpu", False, False, True),
    ).set()
    try:
        yield
    finally:
        before.set()


@dataclass(frozen=True)
class _Flags:
    """Settings of torch. By default convolutions on a GPU use TF32, and cuDNN may choose other algorithms each time.

    nn.MultiheadAttention takes a way of its own in evaluation by default; it is not faster.

    Attributes:
        convolutions_tf32, products: what all versions have for convolutions and for matrix products. Torch refuses to
            read them where they contradict `formats`, as in torch.backends.cudnn.flags, so all are set.
        formats: what versions since 2.9 have for each of `_operations`.
        attentions: which ways of computing attention are allowed: flash, which the CPU has too, efficient, of cuDNN,
            and by two matrix products.
        deterministic, benchmark: of cuDNN.
        inference_attention: whether nn.MultiheadAttention may take its own way in evaluation.
    """

    convolutions_tf32: bool
    products: str
    formats: tuple[str, ...]
    attentions: tuple[bool, ...]
    deterministic: bool = True
    benchmark: bool = False
    inference_attention: bool = False

    @classmethod
    def now(cls) -> _Flags:
        """The present settings. Those that torch refuses to read are at their defaults, and only `formats` was set."""
        convolutions_tf32, products = True, "highest"
        with _unwarned(), suppress(RuntimeError):
            convolutions_tf32 = cudnn.allow_tf32
        with _unwarned(), suppress(RuntimeError):
            products = torch.get_float32_matmul_precision()
        formats = tuple(operation.fp32_precision for operation in _operations())
        attentions = tuple(allowed() for allowed, _ in _ATTENTIONS)
        own = mha.get_fastpath_enabled()
        return cls(convolutions_tf32, products, formats, attentions, cudnn.deterministic, cudnn.benchmark, own)

    def set(self) -> None:
        """Make them torch's settings."""
        cudnn.deterministic, cudnn.benchmark = self.deterministic, self.benchmark
        for (_, allow), allowed in zip(_ATTENTIONS, self.attentions, strict=True):
            allow(allowed)
        mha.set_fastpath_enabled(self.inference_attention)
        # In this order, because the older settings change the newer ones.
        with _unwarned():
            cudnn.allow_tf32 = self.convolutions_tf32
            torch.set_float32_matmul_precision(self.products)
        for operation, value in zip(_operations(), self.formats, strict=True):
            operation.fp32_precision = value


def _operations() -> list[Any]:
    """What has a format of its own since torch 2.9: operations on a GPU, and on the CPU."""
    if not hasattr(cudnn, "conv"):
        return []
    names = {cudnn: ("conv", "rnn"), cuda: ("matmul",), mkldnn: ("conv", "rnn", "matmul")}
    return [getattr(backend, name) for backend, own in names.items() for name in own]


@contextmanager
def _unwarned() -> Iterator[None]:
    """Torch 2.9 warns of the older settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
