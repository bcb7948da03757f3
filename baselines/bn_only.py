"""Batch normalisation per task."""

from __future__ import annotations

from torch import nn

from methods import methods
from methods.method import BatchNorm, Method, Part
from methods.recipe import Range, Recipe


@methods.register("bn-only")
class BNOnly(Method):
    """Frozen convolutions; each task has its own batch normalisation (affine and statistics) and head: 4 * C values.

    Without batch normalisation in the backbone this is a linear probe.
    """

    any_layout = True
    recipe = Recipe(optimizer="adam", lr=0.01)
    search = {"lr": Range(1e-3, 0.1)}
    isolates_tasks = True

    def part(self, module: nn.Module, name: str) -> Part:
        return "task" if isinstance(module, BatchNorm) else "frozen"
