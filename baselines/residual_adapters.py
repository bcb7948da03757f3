"""Residual adapters."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from baselines.shared.convolutions import convolutions, keeps_size
from baselines.shared.per_task import PerTask
from methods import methods
from methods.recipe import Range


class Adapter(nn.Conv2d):
    """A 1x1 convolution without bias that starts at zero."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 1, bias=False)
        nn.init.zeros_(self.weight)


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
    y + A_t * y (series) or y + A_t * x (parallel). A_t is a 1x1 convolution that starts at zero, so the network starts
    as the backbone: C_out^2 or C_in C_out values for each such convolution and task, beside batch normalisation.

    Args:
        form: "series" or "parallel".
        bn: batch normalisation "per-task" (4 * C values) or "frozen" as the backbone's.
    """

    any_layout = True
    own = (Adapter,)
    search = {"lr": Range(1e-3, 0.1), "form": ("series", "parallel")}

    def __init__(self, form: Literal["series", "parallel"] = "series", bn: Literal["per-task", "frozen"] = "per-task"):
        super().__init__(bn)
        self.form = form

    def adapt(self, network: nn.Module) -> None:
        for conv in convolutions(network):
            if conv.kernel_size == (1, 1) or conv.groups > 1:
                continue
            if self.form == "series":
                conv.add_module("adapter", Adapter(conv.out_channels, conv.out_channels).to(conv.weight))
                conv.register_forward_hook(_series)
            elif keeps_size(conv):
                conv.add_module("adapter", Adapter(conv.in_channels, conv.out_channels).to(conv.weight))
                conv.register_forward_hook(_parallel)
