"""In which floating-point format the network computes."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

#: "fp32", or "bf16": convolutions, matrix products and what follows them in bfloat16 where torch.autocast holds that
#: safe; weights, gradients and the optimiser's state stay in float32.
Precision = Literal["fp32", "bf16"]

_NO_CONTEXT = nullcontext()


def computes_bfloat16(device: torch.device) -> bool:
    """Whether PyTorch finds bfloat16 arithmetic in a GPU, or in this machine's processor."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Of PyTorch's functions for this, those that all versions since 2.7 have. This one is exact on ARM.
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    # On x86 it holds for any AVX-512, and there is AVX-512 without bfloat16.
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def precision_warnings(precision: Precision, device: torch.device) -> tuple[str, ...]:
    """What has to be known of that precision on a device before anything trains, a line each."""
    if precision == "fp32" or computes_bfloat16(device):
        return ()
    where = "GPU" if device.type == "cuda" else "processor"
    return (
        f"--precision bf16: PyTorch finds no bfloat16 arithmetic in this {where}, and may take several times as long "
        "as with --precision fp32",
    )


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context in which forward passes have that precision on a device."""
    if precision == "fp32":
        return _NO_CONTEXT
    # Kept copies of the weights would save nothing, since a pass uses each once, and would outlive a change of them.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
