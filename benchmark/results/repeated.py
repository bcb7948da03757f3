"""What repetitions say of a mean if there are too few of them for an interval: the values themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from benchmark.results.blocks import Block, block_means
from benchmark.results.metrics import Repetition

#: With fewer blocks, no table or figure shows an interval: Student's t of two values is 12.7 standard errors wide.
FEWEST_BLOCKS = 5

#: The row and the column of a table -> the value of each repetition behind that mean; empty if they are not known. A
#: mean with enough blocks for an interval is not in it.
Repeated = Mapping[tuple[str, ...], tuple[float, ...]]


def too_few(repetitions: Collection[Repetition], factors: Sequence[Block]) -> bool:
    """Whether these repetitions are too few for an interval.

    Args:
        repetitions: one or more.
        factors: what the repetitions of the run differ in; the first has the fewest blocks.
    """
    return len(block_means(dict.fromkeys(repetitions, 0.0), factors[0])) < FEWEST_BLOCKS


def any_shown(repeated: Repeated) -> bool:
    """Whether a mean is of several repetitions, so that tables and figures show each of them."""
    return any(len(values) > 1 for values in repeated.values())
