"""The random numbers of the whole process, which methods may draw from too."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch.utils.hooks import RemovableHandle


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the states of the process's random generators, and the number of the next hook of a module.

    Args:
        device: the device that computes.
    """
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),
        "hooks": RemovableHandle.next_id,
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Let random numbers go on from a state. Hooks that come later get other numbers than those that are there."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    RemovableHandle.next_id = max(RemovableHandle.next_id, state["hooks"])
