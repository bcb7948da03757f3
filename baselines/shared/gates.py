"""Gates after convolutions: hard attention to the task (Serra et al., 2018, arXiv 1801.01423)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

# Limits of the paper, on |s e| in the gradient's compensation and on |e|.
_MOST_EXPONENT = 50
_MOST_EMBEDDING = 6


class Gate(nn.Module):
    """Multiplies each channel by a = sigmoid(s e).

    Args:
        channels: how many.
        s: the slope; the method changes it while it trains the gate.
        generator: draws e.
    """

    def __init__(self, channels: int, s: float, generator: torch.Generator):
        super().__init__()
        self.s = s
        self.embedding = nn.Parameter(2 * torch.rand(channels, generator=generator, device="cpu"))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.values()[:, None, None]

    def values(self) -> Tensor:
        """a, [channels]."""
        # The gradient of torch.sigmoid is rounded to zero for an open gate, beyond s e = 17.
        return logsigmoid(self.s * self.embedding).exp()

    def compensation(self, smax: float) -> Tensor:
        """The factor that keeps the gradient at slope s from vanishing: smax (cosh(s e) + 1) / (s (cosh(e) + 1))."""
        e = self.embedding
        steep = (self.s * e).clamp(-_MOST_EXPONENT, _MOST_EXPONENT)
        return smax / self.s * (steep.cosh() + 1) / (e.cosh() + 1)

    @torch.no_grad()
    def limit(self) -> None:
        """Keep |e| at most 6."""
        self.embedding.clamp_(-_MOST_EMBEDDING, _MOST_EMBEDDING)


def add_gate(layer: nn.Module, gate: Gate) -> None:
    """Let a gate follow a layer. A child and a hook leave the names of the backbone's own tensors as they were."""
    layer.add_module("hat", gate)
    layer.register_forward_hook(_apply)


def _apply(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    gated: Tensor = layer.get_submodule("hat")(output)
    return gated
