"""Whether a number of ours agrees with a published one. docs/reproduce.md states the rule in words.

A difference is our mean minus theirs. It is compared with its 95 % interval, so that a verdict also says how much it
can say: an interval of few repetitions is wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from benchmark.storage.published import SpreadKind, Target

Verdict = Literal["agrees", "higher", "lower", "holds", "does not hold", "not judged"]

#: What a verdict follows from: both spreads; one of the two, taken for the other's too; a stated tolerance; a bound.
Rule = Literal["both spreads", "our spread", "their spread", "tolerance", "bound", "none"]


@dataclass(frozen=True)
class Sample:
    """What is known of repeated runs.

    Attributes:
        mean: of the repetitions.
        sd: their standard deviation (with n - 1); NaN if it is not known.
        count: n; None if it is not known.
    """

    mean: float
    sd: float = math.nan
    count: int | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        """The sample of at least one value."""
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        return cls(float(np.mean(values)), sd, len(values))

    @property
    def has_spread(self) -> bool:
        """Whether its spread can be used: the number of repetitions must be known, too."""
        return self.count is not None and self.count > 1 and not math.isnan(self.sd)

    def spread(self, kind: SpreadKind) -> float:
        """Its spread as a source prints it; NaN without one."""
        if not self.has_spread or self.count is None:
            return math.nan
        return self.sd / _sd_over(kind, self.count)


def _sd_over(kind: SpreadKind, count: int) -> float:
    """The standard deviation over a printed spread of this kind, of `count` >= 2 repetitions."""
    if kind == "sd":
        return 1.0
    root = math.sqrt(count)
    return root if kind == "se" else root / float(stdtrit(count - 1, 0.975))


def published_sample(target: Target) -> Sample:
    """The repeated runs behind a published number. A spread of an unknown number of runs says too little."""
    count = target.repetitions
    if target.spread is None or target.spread_is is None or count is None or count < 2:
        return Sample(target.value, count=count)
    return Sample(target.value, target.spread * _sd_over(target.spread_is, count), count)


@dataclass(frozen=True)
class Judged:
    """A verdict, and what it follows from.

    Attributes:
        difference: our mean minus theirs.
        half: half the 95 % interval of the difference; NaN if there is none.
        verdict, rule: see above.
    """

    difference: float
    half: float
    verdict: Verdict
    rule: Rule


def judge(ours: Sample, target: Target, rounding: float = 0.0) -> Judged:
    """Compare our runs with a published number.

    Args:
        ours: our repetitions.
        target: the published number.
        rounding: the largest error that rounding put into the published number.
    """
    theirs = published_sample(target)
    difference = ours.mean - theirs.mean
    if target.bound:
        return Judged(difference, math.nan, "holds" if difference < 0 else "does not hold", "bound")
    if target.tolerance is not None:
        # The numbers are sums of few digits: a difference of the last bit is none.
        allowed = target.tolerance + rounding + 1e-12
        return Judged(difference, math.nan, _direction(difference, allowed), "tolerance")
    half, rule = interval_of_difference(ours, theirs)
    if math.isnan(half):
        return Judged(difference, half, "not judged", "none")
    half += rounding
    return Judged(difference, half, _direction(difference, half), rule)


def _direction(difference: float, allowed: float) -> Verdict:
    if abs(difference) <= allowed:
        return "agrees"
    return "higher" if difference > 0 else "lower"


def interval_of_difference(ours: Sample, theirs: Sample) -> tuple[float, Rule]:
    """Half the 95 % confidence interval of the difference of two means, and what it follows from.

    If both spreads are known, it is Welch's (1947), with Satterthwaite's degrees of freedom. If one is known, the other
    sample is taken to have the same spread, and to be a single run if the number of its runs is not known; the degrees
    of freedom are those of the known spread. For a single published run it is the interval in which one more run of
    ours would lie. If neither is known, it is NaN.
    """
    if ours.has_spread and theirs.has_spread:
        assert ours.count is not None
        assert theirs.count is not None
        a, b = ours.sd**2 / ours.count, theirs.sd**2 / theirs.count
        if a + b == 0:
            return 0.0, "both spreads"
        degrees = (a + b) ** 2 / (a**2 / (ours.count - 1) + b**2 / (theirs.count - 1))
        return float(stdtrit(degrees, 0.975)) * math.sqrt(a + b), "both spreads"
    known, other = (ours, theirs) if ours.has_spread else (theirs, ours)
    if not known.has_spread or known.count is None:
        return math.nan, "none"
    error = known.sd * math.sqrt(1 / known.count + 1 / (other.count or 1))
    return float(stdtrit(known.count - 1, 0.975)) * error, "our spread" if known is ours else "their spread"
