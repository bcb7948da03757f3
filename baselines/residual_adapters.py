"""Residual adapters."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from baselines.shared.convolutions import convolutions_for, keeps_size
from baselines.shared.per_task import PerTask
from methods import methods
from methods.errors import UserError, cannot
from methods.recipe import Range


class Adapter(nn.Conv2d):
    """A 1x1 convolution without bias that starts at zero."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 1, bias=False)
        nn.init.zeros_(self.weight)


class Norm(nn.BatchNorm2d):
    """The batch normalisation before an adapter in series: it is the adapter's own, and no part of the backbone."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.num_batches_tracked = None


class NormedAdapter(Adapter):
    """An adapter of its normalised input."""

    def __init__(self, channels: int):
        super().__init__(channels, channels)
        self.norm = Norm(channels)

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(self.norm(y))


def _series(conv: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + conv.get_submodule("adapter")(output)


def _parallel(conv: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    assert isinstance(conv, nn.Conv2d)
    rows, columns = conv.stride
    # Without a stride in the adapter: torch gets its gradient wrong for few channels (see backbones/strided.py).
    return output + conv.get_submodule("adapter")(inputs[0][..., ::rows, ::columns])


@methods.register("residual-adapters")
class ResidualAdapters(PerTask):
    """Residual adapters (Rebuffi et al., 2017, arXiv 1705.08045; parallel: 2018, arXiv 1803.10082).

    y = conv(x) of every convolution that is wider than 1x1 and not grouped becomes, before its batch normalisation,
    y + A_t * BN_t(y) (series) or y + A_t * x (parallel). A_t is a 1x1 convolution that starts at zero, so the network
    starts as the backbone. BN_t is a batch normalisation that the adapter has for itself. So a task costs
    C_out^2 + 4 * C_out values (series) or C_in * C_out (parallel) for each such convolution, beside the backbone's
    batch normalisation.

    Args:
        form: "series" or "parallel".
        bn: the backbone's batch normalisation "per-task" (4 * C values) or "frozen".

    Differs from the paper:
        start: A_t starts at zero; the authors' code draws it from a normal distribution, so that its network does not
            start as the backbone.
        weight decay: none, and no dropout; the authors choose both for each data set.
        optimizer: Adam, as for most methods on a frozen backbone; the authors' code has SGD at 0.1 for 120 epochs.
    """

    any_layout = True
    own = (Adapter, Norm)
    search = {"lr": Range(1e-3, 0.1), "form": ("series", "parallel")}

    def __init__(self, form: Literal["series", "parallel"] = "series", bn: Literal["per-task", "frozen"] = "per-task"):
        super().__init__(bn)
        self.form = form

    def adapt(self, network: nn.Module) -> None:
        series = self.form == "series"
        adapted = [
            conv
            for conv in convolutions_for(network, "residual-adapters")
            if conv.kernel_size != (1, 1) and conv.groups == 1 and (series or keeps_size(conv))
        ]
        if not adapted:
            wanted = "wider than 1x1 and not grouped" + ("" if series else ", with padding that keeps the size")
            raise UserError(
                cannot("residual-adapters", f"form={self.form} works on convolutions {wanted}, and there are none")
            )
        for conv in adapted:
            adapter = NormedAdapter(conv.out_channels) if series else Adapter(conv.in_channels, conv.out_channels)
            conv.add_module("adapter", adapter.to(conv.weight))
            conv.register_forward_hook(_series if series else _parallel)
