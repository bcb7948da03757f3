"""Normalisation per task."""

from __future__ import annotations

from torch import nn

from methods import methods
from methods.errors import UserError, cannot
from methods.method import Method, Part
from methods.norms import is_norm
from methods.recipe import Range, Recipe


@methods.register("norm-only")
class NormOnly(Method):
    """Normalisation and head per task on a frozen backbone: LN-tuning (Qi et al., 2022, arXiv 2211.08682) and others.

    Of LayerNorm and others that is the affine part, 2 * C values: 38,400 in all for a ViT-B/16. Batch normalisation has
    statistics too: 4 * C values.
    """

    any_layout = True
    recipe = Recipe(optimizer="adam", lr=0.01)
    search = {"lr": Range(1e-3, 0.1)}
    isolates_tasks = True

    def adapt(self, network: nn.Module) -> None:
        if not any(is_norm(module) for module in network.modules()):
            raise UserError(cannot(self.name, "it works on normalisation layers, and there are none"))

    def part(self, module: nn.Module, name: str) -> Part:
        return "task" if is_norm(module) else "frozen"
