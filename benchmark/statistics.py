"""What paired tests say about the differences between methods; docs/statistics.md says how to read them.

A block is a seed in one order of the tasks. All methods learn it from the same order of the data, so that they are
compared block by block, and blocks are what repeats. Compared is the average accuracy after the last task, 0..1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from benchmark import metrics

#: A difference is called significant where its corrected p is below this.
ALPHA = 0.05

RANK_COLUMNS = (
    "method",
    "blocks",
    "mean_rank",
    "average_accuracy",
    "difference_to_best",
    "difference_to_best_ci95",
    "holm_p_to_best",
)
PAIR_COLUMNS = (
    "method_a",
    "method_b",
    "blocks",
    "mean_difference",
    "difference_ci95",
    "wilcoxon_p",
    "holm_p",
    "significant",
)

# Accuracies are ratios of counts: what differs further back differs by the order of a sum, and is a tie.
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
        pairs: the rows of statistics.csv, one for every two methods.
        blocks: how many blocks all these methods finished; only these count.
        begun: how many blocks at least one of them finished.
        orders: whether blocks differ in the order of the tasks, too.
        friedman: None for fewer than three methods or two blocks, and where all methods are alike in every block.
    """

    ranks: pd.DataFrame
    pairs: pd.DataFrame
    blocks: int
    begun: int
    orders: bool
    friedman: Friedman | None

    @property
    def decidable(self) -> bool:
        """Whether there are enough blocks for a difference to be significant at all."""
        return not self.pairs.empty and least_p(self.blocks, len(self.pairs)) < ALPHA

    def counted(self, blocks: int) -> str:
        """So many blocks, as a reader calls them."""
        return f"{blocks} {'block' if self.orders else 'seed'}{'s' * (blocks != 1)}"

    @property
    def verdict(self) -> str:
        """What can be said, in sentences for a reader; empty where there are not two methods to compare."""
        return " ".join(self._sentences()) if len(self.ranks) > 1 else ""

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
        if self.friedman:
            test = self.friedman
            yield (
                f"Friedman's test of whether all methods are alike: chi-square {test.statistic:.2f} with "
                f"{test.degrees} degrees of freedom, approximately p = {test.p:.2g}."
            )
        if self.decidable:
            found = int(self.pairs["significant"].sum())
            yield (
                f"Of {pairs} {'pair' if pairs == 1 else 'pairs'} of methods, {found or 'none'} "
                f"{'differs' if found == 1 else 'differ'} significantly at {ALPHA}."
            )
        else:
            corrected = f", {least_p(self.blocks, pairs):.3g} after Holm's correction for {pairs} pairs" * (pairs > 1)
            yield (
                f"With {self.counted(self.blocks)} no difference can be called significant at {ALPHA}, however large: "
                f"the exact Wilcoxon signed-rank test gives no p below 2/2^{self.blocks} = {2 / 2**self.blocks:.3g}"
                f"{corrected}; at least {self.counted(blocks_needed(pairs))} are needed."
            )


def paired_statistics(accuracy: pd.DataFrame, methods: Sequence[str], tasks: int) -> Statistics:
    """Ranks, and tests of every two methods, over the blocks that all of them finished.

    A method that finished no block is left out.

    Args:
        accuracy: the rows of accuracy.csv.
        methods: labels, in the order of the tables.
        tasks: T, the length of the stream.
    """
    finished = block_values(accuracy, methods, tasks).dropna(axis="columns", how="all")
    common = finished.dropna()
    pairs = _pairs(common)
    return Statistics(_ranks(common, pairs), pairs, len(common), len(finished), "order" in accuracy, _friedman(common))


def block_values(accuracy: pd.DataFrame, methods: Sequence[str], tasks: int) -> pd.DataFrame:
    """Average accuracy after the last task: a row for each block, a column for each method, NaN where not finished."""
    keys = [key for key in ("seed", "order") if key in accuracy]
    values = {
        method: {
            block: metrics.average_accuracy(
                metrics.accuracy_matrix(cell["learned"], cell["task"], cell["accuracy"], tasks)
            )
            for block, cell in accuracy[accuracy["method"] == method].groupby(keys)
        }
        for method in methods
    }
    return pd.DataFrame(values, dtype=float).sort_index()


def holm(p: metrics.Array) -> metrics.Array:
    """Holm's step-down correction for as many hypotheses as there are p (1979, Scand. J. Statist. 6).

    The smallest p is multiplied by their number m, the next by m - 1, and so on; none falls below the one before, or
    rises above 1.
    """
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected


def least_p(blocks: int, pairs: int) -> float:
    """The smallest two-sided p that the exact signed-rank test can give after Holm's correction.

    If two methods are alike, all 2^blocks patterns of signs are as likely, and the most extreme are the two in which
    all signs agree.
    """
    return min(1.0, pairs * 2 / 2**blocks)


def blocks_needed(pairs: int) -> int:
    """The least number of blocks with which one of so many pairs can differ significantly."""
    blocks = 1
    while least_p(blocks, pairs) >= ALPHA:
        blocks += 1
    return blocks


def _pairs(common: pd.DataFrame) -> pd.DataFrame:
    """The rows of statistics.csv, from the values of the blocks that count."""
    rows = [_pair(a, b, common[a] - common[b]) for a, b in combinations(common, 2)] if len(common) else []
    pairs = pd.DataFrame(rows, columns=list(PAIR_COLUMNS))
    pairs["holm_p"] = holm(pairs["wilcoxon_p"].to_numpy(dtype=float))
    pairs["significant"] = pairs["holm_p"] < ALPHA
    return pairs


def _pair(a: str, b: str, difference: pd.Series) -> dict[str, object]:
    values = difference.to_numpy()
    return {
        "method_a": a,
        "method_b": b,
        "blocks": len(values),
        "mean_difference": values.mean(),
        "difference_ci95": metrics.confidence_interval_95(values),
        "wilcoxon_p": signed_rank_p(values.round(_DIGITS)),
    }


def signed_rank_p(differences: metrics.Array) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, exact for any number of blocks and with ties; zeros are left out.

    With ties SciPy's takes seconds a pair up to 13 blocks, and above is so coarse an approximation that hardly a p of
    many pairs survives Holm's correction.
    """
    ranked = differences[differences != 0]
    # Twice the ranks, since those of ties are halves.
    ranks = (2 * stats.rankdata(np.abs(ranked))).astype(int)
    # shares[w]: of the patterns of signs, those in which the positive ranks add up to w. Rank by rank, half of them.
    shares = np.ones(1)
    for rank in ranks:
        shares = (np.pad(shares, (0, rank)) + np.pad(shares, (rank, 0))) / 2
    positive = ranks[ranked > 0].sum()
    return float(min(1.0, 2 * min(shares[: positive + 1].sum(), shares[positive:].sum())))


def _ranks(common: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows of ranks.csv; methods that are as good as each other share the mean of their ranks."""
    if common.empty:
        return pd.DataFrame({"method": list(common), "blocks": 0}, columns=list(RANK_COLUMNS))
    means = common.mean()
    best = means.idxmax()
    to_best = pairs[(pairs["method_a"] == best) | (pairs["method_b"] == best)]
    to_best = to_best.set_index(to_best["method_a"].where(to_best["method_b"] == best, to_best["method_b"]))
    table = pd.DataFrame(
        {
            "blocks": len(common),
            "mean_rank": common.round(_DIGITS).rank(axis="columns", ascending=False).mean(),
            "average_accuracy": means,
            "difference_to_best": (means - means[best]).drop(best),
            "difference_to_best_ci95": to_best["difference_ci95"],
            "holm_p_to_best": to_best["holm_p"],
        },
        index=pd.Index(common.columns, name="method"),
    )
    best_first = table.sort_values(["mean_rank", "average_accuracy"], ascending=[True, False], kind="stable")
    return best_first.reset_index()[list(RANK_COLUMNS)]


def _friedman(common: pd.DataFrame) -> Friedman | None:
    blocks, methods = common.shape
    values = common.round(_DIGITS)
    # Where all methods tie in every block, chi-square is 0/0.
    if methods < 3 or blocks < 2 or (values.nunique(axis="columns") == 1).all():
        return None
    result = stats.friedmanchisquare(*(values[method] for method in values))
    return Friedman(float(result.statistic), methods - 1, float(result.pvalue))
