"""What counts as independent; and, simulated, that intervals and tests over it are as sure as they say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.config import Settings
from benchmark.results.blocks import (
    block_means,
    factors_of,
    interval_95,
    mean_over_blocks,
    repetitions_text,
)
from benchmark.results.paired_tests import ALPHA, block_p

RUNS = 2000


@pytest.mark.parametrize(
    ("repetitions", "factors"),
    [
        ([(0, 0)], ["seed"]),
        ([], ["seed"]),
        ([(0, 0), (1, 0)], ["seed"]),
        ([(0, 0), (0, 1)], ["order"]),
        ([(0, 0), (1, 1)], ["order", "seed"]),
        ([(0, 0), (1, 0), (2, 0), (0, 1)], ["order", "seed"]),
        ([(0, 0), (0, 1), (0, 2), (1, 0)], ["seed", "order"]),
    ],
)
def test_what_repetitions_differ_in(repetitions, factors):
    assert factors_of(repetitions) == factors


def test_the_mean_of_each_block():
    values = {(1, 0): [1.0, 2.0], (0, 0): [3.0, 6.0], (0, 1): [5.0, 5.0]}
    by_order, by_seed = block_means(values, "order"), block_means(values, "seed")
    assert {k: v.tolist() for k, v in by_order.items()} == {0: [2, 4], 1: [5, 5]}
    assert {k: v.tolist() for k, v in by_seed.items()} == {0: [4, 5.5], 1: [1, 2]}
    assert list(by_order) == list(by_seed) == [0, 1]


@pytest.mark.parametrize(
    ("seeds", "orders", "text"),
    [
        (1, 1, "1 seed"),
        (5, 1, "5 seeds"),
        (5, 5, "5, each a seed of its own in an order of its own"),
        (5, 3, "15, each of 5 seeds in each of 3 orders"),
        (1, 3, "3, each of 1 seed in each of 3 orders"),
    ],
)
def test_how_often_methods_learn_the_stream_in_words(seeds, orders, text):
    assert repetitions_text(Settings(("clr",), seeds=tuple(range(seeds)), orders=orders).repetitions) == text


def test_what_a_comparison_may_have_in_words():
    assert repetitions_text([(0, 0), (1, 0), (0, 1)]) == "3 pairs of a seed and an order"


def simulated(
    seeds: int, orders: int, of_seed: float = 0.0, runs: int = RUNS
) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Accuracies of methods that are alike: the repetitions of a run, and a value for each, float [runs, repetitions].

    A value is the sum of normal parts: of its order with variance 1, of its seed with variance `of_seed`, and of the
    repetition itself with variance 1. The true mean is 0.
    """
    random = np.random.default_rng(0)
    repetitions = Settings(("clr",), seeds=tuple(range(seeds)), orders=orders).repetitions
    seed, order = np.array(repetitions).T
    parts = (
        random.normal(size=(runs, orders))[:, order],
        of_seed**0.5 * random.normal(size=(runs, seeds))[:, seed],
        random.normal(size=(runs, len(repetitions))),
    )
    return repetitions, sum(parts)


def coverage(repetitions: list[tuple[int, int]], values: np.ndarray) -> float:
    """The share of runs, in percent, of which the 95 % interval holds the true mean, 0."""
    factors = factors_of(repetitions)
    runs = [dict(zip(repetitions, run, strict=True)) for run in values]
    return 100 * float(np.mean([abs(mean_over_blocks(r, factors[0])) <= interval_95(r, factors) for r in runs]))


def called_different(repetitions: list[tuple[int, int]], values: np.ndarray) -> float:
    """The share of runs, in percent, in which the test calls two methods different that are not."""
    factors = factors_of(repetitions)
    found = [block_p(dict(zip(repetitions, run, strict=True)), factors) < ALPHA for run in values]
    return 100 * float(np.mean(found))


def differences(seeds: int, orders: int, of_seed: float = 0.0) -> tuple[list[tuple[int, int]], np.ndarray]:
    """The same for the differences of two methods: each has orders that are hard for it, and seeds."""
    repetitions, values = simulated(seeds, orders, of_seed, 2 * RUNS)
    return repetitions, values[:RUNS] - values[RUNS:]


@pytest.mark.parametrize(
    ("seeds", "orders", "of_seed"),
    [
        # A seed in an order of its own: nothing is shared, whatever it is that varies.
        (5, 5, 0.0),
        (5, 5, 1.0),
        (10, 10, 1.0),
        # Each seed in each order.
        (5, 3, 0.0),
        (3, 10, 1.0),
    ],
)
def test_the_interval_holds_the_mean_in_95_of_100_runs(seeds, orders, of_seed):
    repetitions, values = simulated(seeds, orders, of_seed)
    assert coverage(repetitions, values) == pytest.approx(95, abs=2)


@pytest.mark.parametrize(("seeds", "orders", "of_seed"), [(8, 8, 0.0), (12, 12, 1.0), (1, 10, 0.0)])
def test_the_test_calls_5_of_100_equal_methods_different(seeds, orders, of_seed):
    """It is discrete: the largest p below 0.05 that it can give is 3.9 % for 8 blocks, 4.9 % for 10, 4.2 % for 12."""
    assert called_different(*differences(seeds, orders, of_seed)) == pytest.approx(5, abs=2)


@pytest.mark.parametrize("orders", [3, 5])
def test_with_too_few_blocks_nothing_is_called_different(orders):
    assert called_different(*differences(5, orders)) == 0


def test_repetitions_that_share_orders_are_not_independent():
    """What the rule is for: 5 seeds in each of 3 orders, counted as 15 blocks, make intervals and tests too sure."""
    _, values = simulated(5, 3)
    as_15 = [(number, 0) for number in range(15)]
    assert coverage(as_15, values) == pytest.approx(73, abs=3)
    assert called_different(as_15, differences(5, 3)[1]) == pytest.approx(25, abs=3)
