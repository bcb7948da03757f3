"""In which floating-point format the network computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

#: "fp32", or "bf16": convolutions and matrix products in bfloat16, everything else, weights too, in float32.
Precision = Literal["fp32", "bf16"]

_NO_CONTEXT = nullcontext()


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context in which forward passes have that precision on a device."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else _NO_CONTEXT
