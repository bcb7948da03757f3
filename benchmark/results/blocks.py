"""Repetitions of a run, and the independent blocks: means, intervals, tests and bands are taken over blocks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmark.results.metrics import Array, Repetition, confidence_interval_95

#: What a block is: all repetitions with one seed, or all in one order.
Block = Literal["seed", "order"]


def factors_of(repetitions: Collection[Repetition]) -> list[Block]:
    """What repetitions differ in: seeds, orders or both; the one with fewer values first.

    Repetitions in one order share its difficulty, and those with one seed share its randomness. Only the means of
    orders, or of seeds, are independent. If repetitions differ in both, the more cautious of the two answers counts.
    """
    levels: dict[Block, int] = {
        "order": len({order for _, order in repetitions}),
        "seed": len({seed for seed, _ in repetitions}),
    }
    several = [factor for factor in levels if levels[factor] > 1]
    return sorted(several, key=levels.__getitem__) or ["seed"]


def block_means(values: Mapping[Repetition, npt.ArrayLike], block: Block) -> dict[int, Array]:
    """The mean of the values in each block: number of a seed or an order -> its mean, with the shape of the values."""
    members: dict[int, list[Array]] = {}
    for (seed, order), value in sorted(values.items(), key=lambda item: item[0]):
        members.setdefault(seed if block == "seed" else order, []).append(np.asarray(value, dtype=float))
    return {number: np.mean(members[number], axis=0) for number in sorted(members)}


def mean_over_blocks(values: Mapping[Repetition, float], block: Block) -> float:
    """The mean of the blocks' means."""
    return float(np.mean(list(block_means(values, block).values())))


def interval_95(values: Mapping[Repetition, float], factors: Sequence[Block]) -> float:
    """Half the 95 % confidence interval of the mean, the widest over all factors; NaN with a single block."""
    widths = [confidence_interval_95(list(map(float, block_means(values, factor).values()))) for factor in factors]
    return float(np.max(widths))


def repetitions_text(repetitions: Collection[Repetition]) -> str:
    """How often each method of a run learns the stream, in words."""
    unique = set(repetitions)
    seeds, orders = ({repetition[k] for repetition in unique} for k in (0, 1))
    if len(orders) == 1:
        return counted(len(seeds), "seed")
    if len(unique) == len(seeds) == len(orders):
        return f"{len(unique)}, each a seed of its own in an order of its own"
    if len(unique) == len(seeds) * len(orders):
        return f"{len(unique)}, each of {counted(len(seeds), 'seed')} in each of {len(orders)} orders"
    return f"{len(unique)} pairs of a seed and an order"


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 seed", "5 seeds"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
