"""The share of a GPU's memory that a process may use."""

from __future__ import annotations

import torch

from methods.errors import UserError

#: GPU memory that each process needs besides its tensors, in bytes: the CUDA context, and the kernels of torch, cuBLAS
#: and cuDNN. It is 300 to 550 MB, depending on the GPU and on CUDA's version.
CONTEXT = 600 << 20


def limit_memory(share: float) -> None:
    """Let this process allocate only its share of the GPU's memory. Call it before anything is allocated.

    Raises:
        UserError: see memory_fraction.
    """
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(memory_fraction(share, total))


def memory_fraction(share: float, total: int) -> float:
    """Return the part of a GPU's memory that torch may allocate in a process that has a share of the GPU.

    The CUDA context is not allocated by torch, so torch gets what the context leaves of the share. A process that has
    the whole GPU has no limit.

    Args:
        share: above 0, at most 1.
        total: the GPU's memory in bytes.

    Raises:
        UserError: the context leaves nothing.
    """
    if share == 1:
        return 1.0
    if share * total <= CONTEXT:
        raise UserError(
            f"--gpus-per-cell {share:g}: this share of the GPU has {share * total / 2**20:.0f} MB of memory, and CUDA "
            f"itself needs {CONTEXT >> 20} MB in each process; give more than {CONTEXT / total:.2g}"
        )
    return share - CONTEXT / total
