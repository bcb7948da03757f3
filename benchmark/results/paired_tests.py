"""What paired tests say about the differences between methods; docs/statistics.md explains how to read them.

Methods are compared block by block (see results/blocks.py): in each block, all methods learned the same orders of the
same data. The compared value is the average accuracy after the last task, 0..1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.results import metrics
from benchmark.results.blocks import (
    Block,
    block_means,
    counted,
    factors_of,
    interval_95,
    mean_over_blocks,
)
from benchmark.results.matrices import Matrices, repetitions_of
from benchmark.results.reference import ALL_PAIRS
from benchmark.results.repeated import Repeated, too_few
from benchmark.results.schema import PAIR_COLUMNS, RANK_COLUMNS

#: The column with the compared accuracies.
RANKED_BY = "average_accuracy"

#: A difference is called significant if its corrected p is below this value.
ALPHA = 0.05

# Accuracies are ratios of counts: a smaller difference comes from the order of a sum, and is a tie.
_DIGITS = 12


@dataclass(frozen=True)
class Friedman:
    """Friedman's test of whether all methods are alike: chi-square, its degrees of freedom, and p."""

    statistic: float
    degrees: int
    p: float


@dataclass(frozen=True)
class Statistics:
    """The comparison of a run's methods.

    Attributes:
        ranks: the rows of ranks.csv, the lowest mean rank first.
        pairs: the rows of statistics.csv, one for each pair of methods that was tested.
        blocks: the number of blocks that all these methods finished; only these count.
        begun: the number of blocks that at least one of them finished.
        block: what a block is: seeds or orders; if repetitions differ in both, the one with fewer values.
        orders: whether repetitions differ in their orders.
        reference: the method that each other one was tested with; ALL_PAIRS if every two were tested.
        friedman: None for fewer than three methods or two blocks, and if all methods are alike in every block.
        incomplete: how many of the counted blocks lack a repetition, because not all methods finished it.
        bounds: the methods that bound the others; they are compared but never in bold.
        at_chance: the methods at chance level, which are neither ranked nor tested.
        repeated: each value behind the differences in `ranks`, if they are too few for an interval.
    """

    ranks: pd.DataFrame
    pairs: pd.DataFrame
    blocks: int
    begun: int
    block: Block
    orders: bool
    reference: str
    friedman: Friedman | None
    incomplete: int = 0
    bounds: frozenset[str] = frozenset()
    at_chance: tuple[str, ...] = ()
    repeated: Repeated = field(default_factory=dict)

    @property
    def decidable(self) -> bool:
        """Whether there are enough blocks for any difference to be significant."""
        return not self.pairs.empty and least_p(self.blocks, len(self.pairs)) < ALPHA

    def counted(self, blocks: int) -> str:
        """A number of blocks, in words."""
        return counted(blocks, self.block)

    @property
    def leaders(self) -> frozenset[str]:
        """The methods to print in bold: the best by average accuracy, and those that the tests do not put below it.

        A method that was tested only with the reference counts as equal to the reference unless it differs from it
        significantly. Bounds are never in bold. Empty if no test can call anything significant, and if no test puts a
        method below the best one.
        """
        means = self.ranks.set_index("method")["average_accuracy"]
        own = [str(method) for method in means.index if method not in self.bounds]
        if not self.decidable or not own:
            return frozenset()
        best = max(own, key=means.__getitem__)
        # If two methods differ from a bound above them, it is unknown whether one is below the other.
        unknown = self.reference != ALL_PAIRS and means[self.reference] > means[best]
        chosen = frozenset(own if unknown else [method for method in own if self._stands_with(method, best)])
        return chosen if len(chosen) < len(own) else frozenset()

    def _stands_with(self, method: str, best: str) -> bool:
        if method == best:
            return True
        above = self._above(method, best)
        if above is not None:
            return above == 0
        above = self._above(method, self.reference)
        return self._stands_with(self.reference, best) if above == 0 else above == 1

    def _above(self, method: str, other: str) -> int | None:
        """1 or -1 if a method is significantly above or below another, else 0; None if they were not tested."""
        for pair in self.pairs.itertuples():
            if {pair.method_a, pair.method_b} == {method, other}:
                difference = pair.mean_difference if pair.method_a == method else -pair.mean_difference
                return int(np.sign(difference)) if pair.significant else 0
        return None

    @property
    def verdict(self) -> str:
        """What can be said, in sentences for a reader; empty if there never were two methods to compare."""
        if len(self.ranks) + len(self.at_chance) < 2:
            return ""
        return " ".join([*self._about_chance(), *(self._sentences() if len(self.ranks) > 1 else ())])

    def _about_chance(self) -> Iterator[str]:
        if self.at_chance:
            verb = "is" if len(self.at_chance) == 1 else "are"
            yield f"{', '.join(self.at_chance)} {verb} at chance level and therefore not ranked."
            if len(self.ranks) < 2:
                yield "So there is nothing to compare."

    def _sentences(self) -> Iterator[str]:
        compared, pairs = len(self.ranks), len(self.pairs)
        if not self.blocks:
            yield (
                f"None of {self.counted(self.begun)} was finished by all {compared} methods, so that nothing can be "
                "compared; methods need the same seeds and orders."
            )
            return
        if self.blocks < self.begun:
            yield f"All {compared} methods finished {self.blocks} of {self.counted(self.begun)}, and only these count."
        if self.incomplete:
            yield f"Of {self.counted(self.incomplete)} only what all {compared} methods finished counts."
        if self.friedman:
            test = self.friedman
            yield (
                f"Friedman's test of whether all methods are alike: chi-square {test.statistic:.2f} with "
                f"{test.degrees} degrees of freedom, approximately p = {test.p:.2g}."
            )
        if self.pairs.empty:
            why = "is at chance level" if self.reference in self.at_chance else f"finished no {self.block}"
            yield (
                f"{self.reference}, with which the others are compared, {why}, so that nothing can be tested; "
                "--reference of `report` names another method."
            )
        elif self.decidable:
            found = int(self.pairs["significant"].sum())
            what = (
                f"{counted(pairs, 'pair')} of methods"
                if self.reference == ALL_PAIRS
                else f"{counted(pairs, 'method')} compared with {self.reference}"
            )
            yield f"Of {what}, {found or 'none'} {'differs' if found == 1 else 'differ'} significantly at {ALPHA}."
        else:
            corrected = f", {least_p(self.blocks, pairs):.3g} after Holm's correction for {pairs} pairs" * (pairs > 1)
            yield (
                f"With {self.counted(self.blocks)} no difference can be called significant at {ALPHA}, however large: "
                f"the exact Wilcoxon signed-rank test gives no p below 2/2^{self.blocks} = {2 / 2**self.blocks:.3g}"
                f"{corrected}; at least {self.counted(blocks_needed(pairs))} are needed."
            )


def paired_statistics(
    matrices: Matrices,
    reference: str = ALL_PAIRS,
    bounds: Collection[str] = (),
    at_chance: Sequence[str] = (),
) -> Statistics:
    """Ranks, and paired tests, over the blocks that all methods finished.

    A method that finished nothing is left out, and one at chance level too. In a block with several repetitions, only
    those that all other methods finished count.

    Args:
        matrices: of the run, the methods in the order of the tables.
        reference: the method that each other one is tested with; ALL_PAIRS to test every two.
        bounds, at_chance: see Statistics.
    """
    ranked = repetition_values(matrices).drop(columns=list(at_chance))
    finished = ranked.dropna(axis="columns", how="all").dropna(how="all")
    shared = finished.dropna()
    differing = factors_of(repetitions_of(matrices))
    factors = sorted(differing, key=lambda factor: shared.index.unique(factor).size)
    block = factors[0]
    sizes = [frame.groupby(level=block).size() for frame in (finished, shared)]
    begun, common = sizes[0], _over_blocks(shared, block)
    pairs = _pairs(shared, factors, reference)
    return Statistics(
        _ranks(common, shared, factors, pairs, reference),
        pairs,
        len(common),
        len(begun),
        block,
        "order" in factors,
        reference,
        _friedman(common),
        int((sizes[1] < begun[sizes[1].index]).sum()),
        frozenset(bounds),
        tuple(at_chance),
        _repeated(common, shared, factors, reference),
    )


def repetition_values(matrices: Matrices) -> pd.DataFrame:
    """Average accuracy after the last task: a row for each repetition, a column for each method, NaN if unfinished."""
    rows = sorted(repetitions_of(matrices))
    index = pd.MultiIndex.from_tuples(rows) if rows else pd.MultiIndex.from_arrays([[], []])
    table = {
        method: [metrics.average_accuracy(own[row]) if row in own else np.nan for row in rows]
        for method, own in matrices.items()
    }
    return pd.DataFrame(table, index=index.set_names(["seed", "order"]), dtype=float)


def _over_blocks(values: pd.DataFrame, block: Block) -> pd.DataFrame:
    """The mean of each block's rows."""
    means = block_means(dict(zip(values.index, values.to_numpy(), strict=True)), block)
    return pd.DataFrame.from_dict(means, orient="index", columns=values.columns, dtype=float)


def holm(p: metrics.Array) -> metrics.Array:
    """Holm's step-down correction; the number of hypotheses is the number of p (1979, Scand. J. Statist. 6).

    The smallest p is multiplied by their number m, the next by m - 1, and so on; none is smaller than the one before,
    or greater than 1.
    """
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected


def least_p(blocks: int, pairs: int) -> float:
    """The smallest two-sided p that the exact signed-rank test can give after Holm's correction.

    If two methods are alike, all 2^blocks patterns of signs are equally likely, and the two most extreme ones are
    those in which all signs agree.
    """
    return min(1.0, pairs * 2 / 2**blocks)


def blocks_needed(pairs: int) -> int:
    """The least number of blocks with which one of this many pairs can differ significantly."""
    blocks = 1
    while least_p(blocks, pairs) >= ALPHA:
        blocks += 1
    return blocks


def _pairs(shared: pd.DataFrame, factors: Sequence[Block], reference: str) -> pd.DataFrame:
    """The rows of statistics.csv, from the values of the counted repetitions."""
    tested = [(a, b) for a, b in combinations(shared, 2) if reference in (ALL_PAIRS, a, b)] if len(shared) else []
    rows = [_pair(a, b, shared[a] - shared[b], factors) for a, b in tested]
    pairs = pd.DataFrame(rows, columns=list(PAIR_COLUMNS))
    pairs["holm_p"] = holm(pairs["wilcoxon_p"].to_numpy(dtype=float))
    pairs["significant"] = pairs["holm_p"] < ALPHA
    return pairs


def _pair(a: str, b: str, difference: pd.Series, factors: Sequence[Block]) -> dict[str, object]:
    values = difference.to_dict()
    return {
        "method_a": a,
        "method_b": b,
        "blocks": len(block_means(values, factors[0])),
        "mean_difference": mean_over_blocks(values, factors[0]),
        "difference_ci95": interval_95(values, factors),
        "wilcoxon_p": block_p(values, factors),
    }


def block_p(differences: Mapping[metrics.Repetition, float], factors: Sequence[Block]) -> float:
    """The p of the signed-rank test over blocks, the largest over all factors."""
    blocks = [np.array(list(block_means(differences, factor).values())) for factor in factors]
    return max(signed_rank_p(values.round(_DIGITS)) for values in blocks)


def signed_rank_p(differences: metrics.Array) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, exact for any number of blocks and with ties; zeros are left out.

    With ties, SciPy's test takes seconds per pair up to 13 blocks. Above, its approximation is so coarse that hardly
    any p of many pairs stays significant after Holm's correction.
    """
    ranked = differences[differences != 0]
    # Twice the ranks, because ties have half ranks.
    ranks = (2 * stats.rankdata(np.abs(ranked))).astype(int)
    # shares[w]: the share of sign patterns whose positive ranks add up to w. Each rank is positive in half of them.
    shares = np.ones(1)
    for rank in ranks:
        shares = (np.pad(shares, (0, rank)) + np.pad(shares, (rank, 0))) / 2
    positive = ranks[ranked > 0].sum()
    return float(min(1.0, 2 * min(shares[: positive + 1].sum(), shares[positive:].sum())))


def _ranks(
    common: pd.DataFrame, shared: pd.DataFrame, factors: Sequence[Block], pairs: pd.DataFrame, reference: str
) -> pd.DataFrame:
    """The rows of ranks.csv; equally good methods share the mean of their ranks."""
    if common.empty:
        return pd.DataFrame({"method": list(common), "blocks": 0}, columns=list(RANK_COLUMNS))
    means = common.mean()
    table = pd.DataFrame(
        {
            "blocks": len(common),
            "mean_rank": common.round(_DIGITS).rank(axis="columns", ascending=False).mean(),
            "average_accuracy": means,
            **_differences(common, shared, factors, pairs, _best(common), "best"),
            **_differences(common, shared, factors, pairs, reference, "reference"),
        },
        index=pd.Index(common.columns, name="method"),
    )
    best_first = table.sort_values(["mean_rank", "average_accuracy"], ascending=[True, False], kind="stable")
    return best_first.reset_index()[list(RANK_COLUMNS)]


def _best(common: pd.DataFrame) -> str:
    """The method with the highest average accuracy."""
    return str(common.mean().idxmax())


def _repeated(common: pd.DataFrame, shared: pd.DataFrame, factors: Sequence[Block], reference: str) -> Repeated:
    """The differences to the best and to the reference in each counted repetition."""
    if common.empty or not too_few(shared.index, factors):
        return {}
    return {
        (str(method), f"difference_to_{name}"): tuple((shared[method] - shared[to]).tolist())
        for name, to in (("best", _best(common)), ("reference", reference))
        if to in common
        for method in common
        if method != to
    }


def _differences(
    common: pd.DataFrame, shared: pd.DataFrame, factors: Sequence[Block], pairs: pd.DataFrame, to: str, name: str
) -> dict[str, pd.Series]:
    """The columns of ranks.csv for the differences to one method; p if that pair was tested."""
    others = [method for method in common if method != to] if to in common else []
    means = {method: (common[method] - common[to]).mean() for method in others}
    intervals = {method: interval_95((shared[method] - shared[to]).to_dict(), factors) for method in others}
    own = pairs[(pairs["method_a"] == to) | (pairs["method_b"] == to)]
    p = own.set_index(own["method_a"].where(own["method_b"] == to, own["method_b"]))["holm_p"]
    return {
        f"difference_to_{name}": pd.Series(means, dtype=float),
        f"difference_to_{name}_ci95": pd.Series(intervals, dtype=float),
        f"holm_p_to_{name}": p,
    }


def _friedman(common: pd.DataFrame) -> Friedman | None:
    blocks, methods = common.shape
    values = common.round(_DIGITS)
    # If all methods tie in every block, chi-square is 0/0.
    if methods < 3 or blocks < 2 or (values.nunique(axis="columns") == 1).all():
        return None
    result = stats.friedmanchisquare(*(values[method] for method in values))
    return Friedman(float(result.statistic), methods - 1, float(result.pvalue))
