"""Verdicts against values worked out by hand, and against scipy.stats."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmark.results.verdicts import Sample, interval_of_difference, judge, published_sample
from benchmark.storage.published import Target


def target(value: float, **more) -> Target:
    return Target("er", "er", "class", "average_accuracy", value, **more)


@pytest.mark.parametrize("sizes", [(3, 3), (2, 10), (7, 4)])
def test_the_interval_is_that_of_welch(sizes: tuple[int, int]):
    random = np.random.RandomState(sum(sizes))
    ours, theirs = (random.normal(mean, sd, n) for mean, sd, n in zip((0.8, 0.7), (0.01, 0.05), sizes, strict=True))
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    half, rule = interval_of_difference(Sample.of(list(ours)), Sample.of(list(theirs)))
    assert rule == "both spreads"
    difference = ours.mean() - theirs.mean()
    assert (difference - half, difference + half) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_three_against_three_by_hand():
    """Equal deviations 1 of three runs: standard error sqrt(2/3), 4 degrees of freedom, t = 2.776."""
    judged = judge(Sample(80.0, 1.0, 3), target(78.0, spread=1.0, spread_is="sd", repetitions=3))
    assert judged.difference == 2.0
    assert judged.half == pytest.approx(2.7764451 * math.sqrt(2 / 3))
    assert (judged.verdict, judged.rule) == ("agrees", "both spreads")
    assert judge(Sample(80.3, 1.0, 3), target(78.0, spread=1.0, spread_is="sd", repetitions=3)).verdict == "higher"
    assert judge(Sample(75.7, 1.0, 3), target(78.0, spread=1.0, spread_is="sd", repetitions=3)).verdict == "lower"


@pytest.mark.parametrize(
    ("kind", "spread"), [("sd", 1.2), ("se", 1.2 / math.sqrt(10)), ("ci95", 2.2621572 * 1.2 / math.sqrt(10))]
)
def test_every_kind_of_spread_means_the_same_deviation(kind: str, spread: float):
    sample = published_sample(target(50.0, spread=spread, spread_is=kind, repetitions=10))
    assert sample.sd == pytest.approx(1.2)
    assert sample.spread(kind) == pytest.approx(spread)


def test_a_single_published_run_is_judged_by_our_spread():
    """The interval for one more run of ours: t of 4 degrees of freedom times s sqrt(1 + 1/5)."""
    ours = Sample(80.0, 2.0, 5)
    half = 2.7764451 * 2.0 * math.sqrt(1.2)
    for theirs in (target(75.0), target(75.0, repetitions=1), target(75.0, spread=1.0, spread_is="sd")):
        judged = judge(ours, theirs)
        assert judged.half == pytest.approx(half)
        assert (judged.verdict, judged.rule) == ("agrees", "our spread")
    assert judge(ours, target(80.0 - half - 0.1)).verdict == "higher"
    # Of four published runs the mean is known better than one run.
    assert judge(ours, target(75.0, repetitions=4)).half == pytest.approx(2.7764451 * 2.0 * math.sqrt(1 / 5 + 1 / 4))


def test_a_single_run_of_ours_is_judged_by_their_spread():
    judged = judge(Sample.of([80.0]), target(75.0, spread=2.0, spread_is="sd", repetitions=5))
    assert judged.half == pytest.approx(2.7764451 * 2.0 * math.sqrt(1.2))
    assert (judged.verdict, judged.rule) == ("agrees", "their spread")


def test_without_any_spread_nothing_is_judged():
    judged = judge(Sample.of([80.0]), target(75.0))
    assert (judged.difference, judged.verdict, judged.rule) == (5.0, "not judged", "none")
    assert math.isnan(judged.half)


def test_rounding_widens_the_interval():
    same = target(78.5, spread=0.0, spread_is="sd", repetitions=3)
    ours = Sample.of([78.54, 78.54, 78.54])
    assert judge(ours, same).verdict == "higher"
    assert judge(ours, same, rounding=0.05).verdict == "agrees"
    assert judge(ours, same, rounding=0.05).half == pytest.approx(0.05)


def test_a_tolerance_and_a_bound():
    near = target(0.834, tolerance=0.01)
    assert [judge(Sample.of([ours]), near).verdict for ours in (0.844, 0.845, 0.824, 0.823)] == [
        "agrees",
        "higher",
        "agrees",
        "lower",
    ]
    below = target(0.6, bound=True)
    assert [judge(Sample(ours), below).verdict for ours in (0.59, 0.6, 0.61)] == [
        "holds",
        "does not hold",
        "does not hold",
    ]
