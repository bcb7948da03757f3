"""What is computed for many modules at once, so that a GPU starts few kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn


class AtOnce:
    """A value for each of some modules, all of them computed at once before each pass through a backbone.

    After the pass they are forgotten, because a network with intermediate results cannot be copied.

    Args:
        modules: the modules.
        name: the attribute of a module that is its value during a pass, and else None.
        values: returns the value of each module. A bound method or a `partial`, which is copied with the network.
    """

    def __init__(self, modules: Sequence[nn.Module], name: str, values: Callable[[], Sequence[Tensor]]):
        self.modules = list(modules)
        self.name = name
        self.values = values

    def add(self, backbone: nn.Module) -> None:
        """Let it happen in each pass from now on."""
        backbone.register_forward_pre_hook(self._compute)
        backbone.register_forward_hook(self._forget, always_call=True)

    def _compute(self, backbone: nn.Module, inputs: Any) -> None:
        for module, value in zip(self.modules, self.values(), strict=True):
            setattr(module, self.name, value)

    def _forget(self, backbone: nn.Module, inputs: Any, features: Any) -> None:
        for module in self.modules:
            setattr(module, self.name, None)
