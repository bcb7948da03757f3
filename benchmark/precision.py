"""In which floating-point format the network computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

#: "fp32", or "bf16": convolutions, matrix products and what follows them in bfloat16 where torch.autocast holds that
#: safe; weights, gradients and the optimiser's state stay in float32.
Precision = Literal["fp32", "bf16"]

_NO_CONTEXT = nullcontext()


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context in which forward passes have that precision on a device."""
    if precision == "fp32":
        return _NO_CONTEXT
    # Kept copies of the weights would save nothing, since a pass uses each once, and would outlive a change of them.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
