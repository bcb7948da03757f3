"""The floating-point format in which the network computes."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

#: "fp32", or "bf16": the backbone's convolutions, matrix products and later operations use bfloat16 if torch.autocast
#: considers it safe. Heads, weights, gradients and the optimiser's state stay in float32.
Precision = Literal["fp32", "bf16"]

_NO_CONTEXT = nullcontext()


def computes_bfloat16(device: torch.device) -> bool:
    """Whether PyTorch finds bfloat16 arithmetic in the GPU, or in this machine's processor."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # All PyTorch versions since 2.7 have the functions used here. This one is exact on ARM.
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    # On x86 it is true for any AVX-512, but some AVX-512 has no bfloat16.
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def precision_warnings(precision: Precision, device: torch.device) -> tuple[str, ...]:
    """Return warnings about a precision on a device, one line each, to show before training."""
    if precision == "fp32" or computes_bfloat16(device):
        return ()
    where = "GPU" if device.type == "cuda" else "processor"
    return (
        f"--precision bf16: PyTorch finds no bfloat16 arithmetic in this {where}, and may take several times as long "
        "as with --precision fp32",
    )


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which forward passes have that precision on a device."""
    if precision == "fp32":
        return _NO_CONTEXT
    # A cache of converted weights saves nothing, since a pass uses each once, and it is stale after the weights change.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
