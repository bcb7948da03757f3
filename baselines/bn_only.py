"""Batch normalisation per task: the older name."""

from __future__ import annotations

from baselines.norm_only import NormOnly
from methods import methods


@methods.register("bn-only")
class BNOnly(NormOnly):
    """`norm-only` by its older name; in a network with batch normalisation alone that is 4 * C values a task."""

    any_layout = True
