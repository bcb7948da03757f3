"""Hard attention to the task."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from baselines.shared.convolutions import norm_after, plain_convolutions
from baselines.shared.gates import Gate, Gates, add_gates
from baselines.shared.usage import input_usage, weight_usage
from methods import BatchNorm, Method, Network, Part, Range, Recipe, Start, Step, methods


@methods.register("hat")
class HAT(Method):
    """Hard attention to the task (Serra et al., 2018, arXiv 1801.01423).

    A gate a^t = sigmoid(s e^t) per channel and task follows each convolution, after its batch normalisation. In each
    epoch s rises from 1/smax to smax, s = 1/smax + (smax - 1/smax) (b - 1)/(B - 1) in step b of B; answers use smax.
    With a^<t, the largest gates of the tasks before, the weights W, which all tasks share, and e^t are trained by

    L = CE + strength * sum a^t (1 - a^<t) / max(1, sum (1 - a^<t)),
    dL/dW_ij multiplied by 1 - min(a_i^<t, a_j^<t), dL/de by smax (cosh(s e) + 1) / (s (cosh(e) + 1)),

    where a_j^<t of a convolution's input are the earlier gates that reach its channels, through skip connections too: C
    values for a task's embeddings, beside batch normalisation, and C for a^<t. Tasks are isolated only approximately,
    because gates are not exactly 0 or 1. Weight decay would move protected weights, and Adam would undo factors above
    0. e starts uniformly between 0 and 2. Of the open gates, those with e near 0 close first. Batch normalisation of a
    later task starts where the last task left it, as the weights do.

    Args:
        strength: the paper's c.
        smax: largest slope of the gates.
        bn: batch normalisation "per-task" (4 * C values) or "frozen" as the backbone's.

    Differs from the paper:
        start: the paper's e starts from a normal distribution, which closes half of the gates at random and leaves
            little of a pretrained network; between 0 and 2 is how the authors' code starts for compression.
        gradient: in the authors' code, in single precision, da/de of an open gate is rounded to 0 beyond s e = 17, so
            that it does not move in most steps of an epoch. Here it is exact.
        lr, clip: 0.2 and 5 here; in the code 0.05, divided by 3 when the loss stops falling, and a limit of 10,000,
            which limits nothing. On three tasks of `mini`, 0.05 and 10,000 give 78.3 % on validation images and 84.2 %
            on training images, 0.2 and 5 give 80.6 and 94.0 % (two seeds).
        slope: s reaches smax in the last step of an epoch, as in the paper; in the code a little less.
        layers: gates follow convolutions. Linear layers before the head are frozen; there is no dropout.
    """

    any_layout = True
    # Without momentum, as in the paper: with it, all gates of a small layer can close before the weights have learned.
    # Compensated gradients of the embeddings are large; with a lower limit the weights would hardly move.
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

    def adapt(self, network: Network) -> None:
        norms = norm_after(network)
        self.convs = plain_convolutions(network, "hat")
        self.gated = [norms.get(conv, conv) for conv in self.convs]
        each = [Gate(conv.out_channels, self.generator).to(conv.weight) for conv in self.convs]
        self.gates = Gates(each, self.smax)
        add_gates(network.backbone, self.gated, self.gates)

    def switch_task(self, network: Network) -> None:
        """Nothing: all embeddings that `adapt` draws are restored."""

    def part(self, module: nn.Module, name: str) -> Part:
        if isinstance(module, Gate) or (isinstance(module, BatchNorm) and self.bn == "per-task"):
            return "task"
        return "shared" if isinstance(module, nn.Conv2d) else "frozen"  # only convolutions can be protected

    def starts_at(self, module: nn.Module, name: str) -> Start:
        # It goes on with the weights, which all tasks train.
        return "last-task" if isinstance(module, BatchNorm) else "initial"

    def before_training_exp(self, step: Step) -> None:
        self.used = self.kept.get("used", torch.zeros_like(self.gates.values().detach()))
        free = 1 - self.used
        #: What the loss charges for an open gate, [C]. If less than one channel is left, the mean would become huge.
        self.prices = self.strength * free / free.sum().clamp(min=1)
        outputs = self.gates.split(self.used)
        layers: dict[nn.Module, Tensor] = dict(zip(self.gated, outputs, strict=True))
        channels, size = step.task_data.images.shape[1:3]
        inputs = input_usage(step.model.backbone, layers, size, channels)
        self.factors: dict[Tensor, Tensor] = {}
        for conv, used in zip(self.convs, outputs, strict=True):
            # The forward pass may not use it.
            if conv not in inputs:
                continue
            factor = 1 - weight_usage(conv, used, inputs[conv])
            # Several convolutions may have the same weight.
            self.factors[conv.weight] = torch.minimum(self.factors.get(conv.weight, factor), factor)
            if conv.bias is not None:
                self.factors[conv.bias] = 1 - used

    def before_training_iteration(self, step: Step) -> None:
        done, last = step.steps_done, step.steps_per_epoch - 1
        self.set_slope(1 / self.smax + (self.smax - 1 / self.smax) * (done / last if last else 1))

    def set_slope(self, s: float) -> None:
        self.gates.s = s

    def before_backward(self, step: Step) -> None:
        step.loss += self.prices.dot(self.gates.values())

    @torch.no_grad()
    def after_backward(self, step: Step) -> None:
        for parameter, factor in self.factors.items():
            # The loss may not depend on it.
            if parameter.grad is not None:
                parameter.grad *= factor
        self.gates.compensate(self.smax)

    def after_update(self, step: Step) -> None:
        self.gates.limit()

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        # The last step has left the slope at smax.
        self.kept["used"] = torch.maximum(self.used, self.gates.values())
