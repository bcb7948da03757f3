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
            inputs, hook = (conv.out_channels, _series) if series else (conv.in_channels, _parallel)
            conv.add_module("adapter", Adapter(inputs, conv.out_channels).to(conv.weight))
            conv.register_forward_hook(hook)
