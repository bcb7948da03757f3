"""Biases per task."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from baselines.shared.per_task import PerTask
from methods import methods
from methods.errors import UserError, cannot
from methods.method import Part
from methods.network import Network
from methods.recipe import Range, Recipe


@methods.register("bitfit")
class BitFit(PerTask):
    """BitFit (Ben Zaken et al., 2021, arXiv 2106.10199): a frozen backbone; each task has its own biases and head.

    All biases that the backbone has, those of attention and of normalisation too: 102,912 values a task for a
    ViT-B/16. In a ResNet only batch normalisation has them, and its statistics stay frozen.

    Args:
        bn: batch normalisation beyond its biases "per-task" (3 * C more values) or "frozen" as the backbone's.
    """

    any_layout = True
    own: ClassVar[tuple[type[nn.Module], ...]] = ()
    recipe = Recipe(optimizer="adam", lr=0.01)
    search = {"lr": Range(1e-3, 0.1)}

    def __init__(self, bn: Literal["per-task", "frozen"] = "frozen"):
        super().__init__(bn)

    def adapt(self, network: Network) -> None:
        if not any(_is_bias(name) for name, _ in network.backbone.named_parameters()):
            raise UserError(cannot(self.name, "it works on biases, and there are none"))

    def part(self, module: nn.Module, name: str) -> Part:
        return "task" if _is_bias(name) else super().part(module, name)


def _is_bias(name: str) -> bool:
    """Whether a tensor of this name is added to a layer's output; a table of relative positions is not."""
    return name.rpartition(".")[2].endswith("bias")
