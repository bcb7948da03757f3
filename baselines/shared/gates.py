"""Gates after convolutions: hard attention to the task (Serra et al., 2018, arXiv 1801.01423)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from baselines.shared.at_once import AtOnce

# Limits of the paper, on |s e| in the gradient's compensation and on |e|.
_MOST_EXPONENT = 50
_MOST_EMBEDDING = 6


class Gate(nn.Module):
    """The gate of a layer: multiplies each channel by its a = sigmoid(s e).

    Args:
        channels: how many.
        generator: draws e.

    Attributes:
        a: [channels], only during a pass through the backbone; see `add_gates`.
    """

    def __init__(self, channels: int, generator: torch.Generator):
        super().__init__()
        self.embedding = nn.Parameter(2 * torch.rand(channels, generator=generator, device="cpu"))
        self.a: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        assert self.a is not None
        return x * self.a[:, None, None]


class Gates:
    """All gates of a backbone. What is computed from their embeddings is computed at once, for C channels in all.

    Args:
        each: the gates.
        s: the slope; the method changes it while it trains the gates.
    """

    def __init__(self, each: Sequence[Gate], s: float):
        self.each = list(each)
        self.s = s

    def values(self) -> Tensor:
        """a, [C]."""
        # The gradient of torch.sigmoid is rounded to zero for an open gate, beyond s e = 17.
        return logsigmoid(self.s * self._embeddings()).exp()

    def split(self, channels: Tensor) -> tuple[Tensor, ...]:
        """[C] -> the part of each gate."""
        return channels.split([len(gate.embedding) for gate in self.each])

    @torch.no_grad()
    def compensate(self, smax: float) -> None:
        """Keep the gradients at slope s from vanishing: multiply them by smax (cosh(s e) + 1) / (s (cosh(e) + 1))."""
        e = self._embeddings()
        steep = (self.s * e).clamp(-_MOST_EXPONENT, _MOST_EXPONENT)
        factors = smax / self.s * (steep.cosh() + 1) / (e.cosh() + 1)
        # The loss may not depend on a gate.
        pairs = zip(self.each, self.split(factors), strict=True)
        live = [(gate.embedding.grad, factor) for gate, factor in pairs if gate.embedding.grad is not None]
        if live:
            torch._foreach_mul_(*zip(*live, strict=True))

    @torch.no_grad()
    def limit(self) -> None:
        """Keep |e| at most 6."""
        embeddings: list[Tensor] = [gate.embedding for gate in self.each]
        torch._foreach_clamp_min_(embeddings, -_MOST_EMBEDDING)
        torch._foreach_clamp_max_(embeddings, _MOST_EMBEDDING)

    def each_value(self) -> tuple[Tensor, ...]:
        """The a of each gate."""
        return self.split(self.values())

    def _embeddings(self) -> Tensor:
        return torch.cat([gate.embedding for gate in self.each])


def add_gates(backbone: nn.Module, layers: Sequence[nn.Module], gates: Gates) -> None:
    """Let a gate follow each layer. Children and hooks leave the names of the backbone's own tensors as they were."""
    for layer, gate in zip(layers, gates.each, strict=True):
        layer.add_module("hat", gate)
        layer.register_forward_hook(_apply)
    AtOnce(gates.each, "a", gates.each_value).add(backbone)


def _apply(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    gated: Tensor = layer.get_submodule("hat")(output)
    return gated
