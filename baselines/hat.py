"""Hard attention to the task."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from baselines.shared.convolutions import norm_after, plain_convolutions
from baselines.shared.usage import input_usage, weight_usage
from methods import methods
from methods.method import BatchNorm, Method, Part
from methods.recipe import Range, Recipe

# Limits of the paper, on |s e| in the gradient's compensation and on |e|.
_MOST_EXPONENT = 50
_MOST_EMBEDDING = 6


class Gate(nn.Module):
    """Multiplies each channel by a = sigmoid(s e).

    Args:
        channels: how many.
        s: the slope; whoever trains the gate changes it.
        generator: draws e.
    """

    def __init__(self, channels: int, s: float, generator: torch.Generator):
        super().__init__()
        self.s = s
        self.embedding = nn.Parameter(2 * torch.rand(channels, generator=generator, device="cpu"))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.values()[:, None, None]

    def values(self) -> Tensor:
        # The gradient of torch.sigmoid is rounded to zero where the gate is open, beyond s e = 17.
        return logsigmoid(self.s * self.embedding).exp()


def _gate(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return layer.get_submodule("hat")(output)


@methods.register("hat")
class HAT(Method):
    """Hard attention to the task (Serra et al., 2018, arXiv 1801.01423).

    A gate a^t = sigmoid(s e^t) per channel and task follows each convolution, after its batch normalisation. In each
    epoch s rises from 1/smax to smax, s = 1/smax + (smax - 1/smax) (b - 1)/(B - 1) in step b of B; answers use smax.
    With a^<t, the largest gates of the tasks before, the weights W, which all tasks share, and e^t are trained by

    L = CE + strength * sum a^t (1 - a^<t) / sum (1 - a^<t),
    dL/dW_ij multiplied by 1 - min(a_i^<t, a_j^<t), dL/de by smax (cosh(s e) + 1) / (s (cosh(e) + 1)),

    where a_j^<t of a convolution's input is what its channels carry of earlier gates, through skip connections too: C
    values for a task's embeddings, beside batch normalisation, and C for a^<t. The isolation of tasks is approximate,
    since gates are not exactly 0 or 1. Weight decay would move protected weights, and Adam undo factors short of 0.

    e starts uniformly between 0 and 2, where the paper's starts are normal and close half of the gates at random, which
    leaves little of a pretrained network. Of open gates those near 0 are the first to close.

    Args:
        strength: the paper's c.
        smax: largest slope of the gates.
        bn: batch normalisation "per-task" (4 * C values) or "frozen" as the backbone's.
    """

    # Without momentum, as in the paper: with it a small layer's gates can all close before the weights have learned.
    # Compensated gradients of the embeddings are long; a lower limit would leave the weights hardly any step.
    recipe = Recipe(lr=0.2, momentum=0.0, clip=5.0)
    search = {"lr": Range(0.01, 1.0), "strength": Range(0.05, 5.0), "smax": (100.0, 200.0, 400.0, 800.0)}

    def __init__(self, strength: float = 0.75, smax: float = 400.0, bn: Literal["per-task", "frozen"] = "per-task"):
        super().__init__()
        if strength < 0:
            raise ValueError(f"strength={strength:g} must not be negative")
        if smax < 1:
            raise ValueError(f"smax={smax:g} must be at least 1")
        self.strength = strength
        self.smax = smax
        self.bn = bn

    def adapt(self, network: nn.Module) -> None:
        norms = norm_after(network)
        self.convs = plain_convolutions(network, "hat")
        self.gated = [norms.get(conv, conv) for conv in self.convs]
        self.gates = [Gate(conv.out_channels, self.smax, self.generator).to(conv.weight) for conv in self.convs]
        for layer, gate in zip(self.gated, self.gates, strict=True):
            layer.add_module("hat", gate)
            layer.register_forward_hook(_gate)

    def part(self, module: nn.Module, name: str) -> Part:
        if isinstance(module, Gate) or (isinstance(module, BatchNorm) and self.bn == "per-task"):
            return "task"
        return "shared" if isinstance(module, nn.Conv2d) else "frozen"  # only convolutions can be protected

    def values(self) -> Tensor:
        """The gates of all layers, [C]."""
        return torch.cat([gate.values() for gate in self.gates])

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.used = self.kept.get("used", torch.zeros_like(self.values()))
        outputs = self.used.split([conv.out_channels for conv in self.convs])
        layers: dict[nn.Module, Tensor] = dict(zip(self.gated, outputs, strict=True))
        inputs = input_usage(strategy.model.backbone, layers, strategy.task_data.images.shape[-1])
        self.factors: dict[Tensor, Tensor] = {}
        for conv, used in zip(self.convs, outputs, strict=True):
            # The forward pass need not use it.
            if conv not in inputs:
                continue
            factor = 1 - weight_usage(conv, used, inputs[conv])
            # Several convolutions may have the same weight.
            self.factors[conv.weight] = torch.minimum(self.factors.get(conv.weight, factor), factor)
            if conv.bias is not None:
                self.factors[conv.bias] = 1 - used

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        done, last = strategy.clock.train_epoch_iterations, strategy.steps_per_epoch - 1
        self.set_slope(1 / self.smax + (self.smax - 1 / self.smax) * (done / last if last else 1))

    def set_slope(self, s: float) -> None:
        self.s = s
        for gate in self.gates:
            gate.s = s

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        free = 1 - self.used
        # With less than one channel left the mean would blow up.
        strategy.loss += self.strength * (self.values() * free).sum() / free.sum().clamp(min=1)

    @torch.no_grad()
    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        embeddings = [gate.embedding for gate in self.gates]
        for parameter, factor in (self.factors | {e: self.compensation(e) for e in embeddings}).items():
            # The loss need not depend on it.
            if parameter.grad is not None:
                parameter.grad *= factor

    def compensation(self, e: Tensor) -> Tensor:
        """What makes of the gradient at slope s one that does not vanish: smax (cosh(s e) + 1) / (s (cosh(e) + 1))."""
        steep = (self.s * e).clamp(-_MOST_EXPONENT, _MOST_EXPONENT)
        return self.smax / self.s * (steep.cosh() + 1) / (e.cosh() + 1)

    @torch.no_grad()
    def after_update(self, strategy: Any, **kwargs: Any) -> None:
        for gate in self.gates:
            gate.embedding.clamp_(-_MOST_EMBEDDING, _MOST_EMBEDDING)

    @torch.no_grad()
    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        # The last step has left the slope at smax.
        self.kept["used"] = torch.maximum(self.used, self.values())
