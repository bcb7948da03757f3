"""The k-th smallest of many values, fast on every device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from baselines.shared.vectors import values_in_memory


def kth_smallest(values: Tensor, k: int) -> Tensor:
    """The k-th smallest value of a tensor, k from 1: a scalar, the same as `values.flatten().kthvalue(k).values`.

    torch's kthvalue finds it in one thread block of a GPU, where sorting everything is faster because it uses all of
    them. On a CPU numpy needs a fraction of its time.
    """
    flat = values_in_memory(values.detach())
    if flat.device.type == "cpu" and not torch.compiler.is_compiling():
        return torch.from_numpy(np.partition(flat.numpy(), k - 1)[k - 1 : k])[0]
    return flat.sort().values[k - 1]
