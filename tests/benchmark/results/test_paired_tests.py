"""Ranks and paired tests against examples worked by hand, enumerations, and SciPy's other functions."""

from __future__ import annotations

from itertools import chain, combinations, product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.results import paired_tests
from benchmark.results.matrices import accuracy_matrices
from benchmark.results.paired_tests import (
    blocks_needed,
    holm,
    least_p,
    repetition_values,
)
from benchmark.results.schema import PAIR_COLUMNS, RANK_COLUMNS

COLUMNS = ["method", "seed", "learned", "task", "task_name", "accuracy", "images"]


def paired_statistics(accuracy: pd.DataFrame, methods: list[str], tasks: int, **options):
    """The statistics of a table of accuracies."""
    return paired_tests.paired_statistics(matrices_of(accuracy, methods, tasks), **options)


def matrices_of(accuracy: pd.DataFrame, methods: list[str], tasks: int):
    # A table of one order has no such column.
    return accuracy_matrices(accuracy if "order" in accuracy else accuracy.assign(order=0), methods, tasks)


def one_task(values: dict[str, list[float | None]]) -> pd.DataFrame:
    """The rows of accuracy.csv for a stream of one task; of each method a value for every seed, None if it failed."""
    rows = [
        (method, seed, 1, 1, "digits", value, 100)
        for method, own in values.items()
        for seed, value in enumerate(own)
        if value is not None
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def compared(values: dict[str, list[float | None]]):
    return paired_statistics(one_task(values), list(values), tasks=1)


def enumerated_p(differences: list[float]) -> float:
    """Two-sided p by trying all signs: the share of patterns whose sum of positive ranks is as far from the middle."""
    sizes = [abs(d) for d in differences if d]
    ranks = [sum(other < size for other in sizes) + (sum(other == size for other in sizes) + 1) / 2 for size in sizes]
    signs = [d > 0 for d in differences if d]

    def distance(pattern) -> float:
        return abs(sum(r for r, positive in zip(ranks, pattern, strict=True) if positive) - sum(ranks) / 2)

    patterns = list(product((False, True), repeat=len(ranks)))
    return sum(distance(pattern) >= distance(signs) for pattern in patterns) / len(patterns)


def closed_bonferroni(p: list[float]) -> list[float]:
    """The largest Bonferroni p of all intersections that a hypothesis is in, which is what Holm's steps come to."""
    groups = list(chain.from_iterable(combinations(range(len(p)), size) for size in range(1, len(p) + 1)))
    return [max(min(1.0, len(g) * min(p[j] for j in g)) for g in groups if i in g) for i in range(len(p))]


def test_average_accuracy_of_each_repetition():
    """Of 0.5 and 1.0 after the second task; a seed that learned one task only has no value."""
    rows = [
        ("clr", 0, 1, 1, "digits", 0.9, 10, 0),
        ("clr", 0, 2, 1, "digits", 0.5, 10, 0),
        ("clr", 0, 2, 2, "shapes", 1.0, 10, 0),
        ("clr", 0, 1, 1, "shapes", 0.3, 10, 1),
        ("er", 0, 1, 1, "shapes", 0.2, 10, 1),
        ("er", 0, 2, 1, "shapes", 0.2, 10, 1),
        ("er", 0, 2, 2, "digits", 0.4, 10, 1),
    ]
    accuracy = pd.DataFrame(rows, columns=[*COLUMNS, "order"])
    values = repetition_values(matrices_of(accuracy, ["er", "clr"], tasks=2))
    assert list(values) == ["er", "clr"]
    np.testing.assert_allclose(values, [[np.nan, 0.75], [0.3, np.nan]])


def test_ranks_are_averaged_over_blocks_and_ties_share_theirs():
    result = compared({"a": [0.9, 0.9, 0.5], "b": [0.8, 0.9, 0.6], "c": [0.7, 0.1, 0.6]})
    assert tuple(result.ranks) == RANK_COLUMNS
    assert result.ranks["method"].tolist() == ["b", "a", "c"]
    # b is second, tied for first, tied for first; a first, tied for first, last; c third, third, tied for first.
    np.testing.assert_allclose(result.ranks["mean_rank"], [(2 + 1.5 + 1.5) / 3, (1 + 1.5 + 3) / 3, (3 + 3 + 1.5) / 3])
    np.testing.assert_allclose(result.ranks["average_accuracy"], [2.3 / 3, 2.3 / 3, 1.4 / 3])
    assert result.ranks["blocks"].tolist() == [3, 3, 3]


def test_what_differs_by_the_order_of_a_sum_is_a_tie():
    rows = [
        (method, 0, 3, task, "t", value, 10)
        for method, values in (("a", (0.1, 0.2, 0.3)), ("b", (0.3, 0.2, 0.1)))
        for task, value in enumerate(values, 1)
    ]
    assert (0.1 + 0.2) + 0.3 != (0.3 + 0.2) + 0.1
    result = paired_statistics(pd.DataFrame(rows, columns=COLUMNS), ["a", "b"], tasks=3)
    assert result.ranks["mean_rank"].tolist() == [1.5, 1.5]
    assert result.pairs["wilcoxon_p"].tolist() == [1]


def test_the_difference_and_its_paired_interval():
    """0.1, 0.2 and 0.3: mean 0.2, deviation 0.1, and Student's t for 2 degrees of freedom is 4.302653."""
    result = compared({"a": [0.6, 0.5, 0.9], "b": [0.5, 0.3, 0.6]})
    (pair,) = result.pairs.to_dict("records")
    assert tuple(pair) == PAIR_COLUMNS
    assert (pair["method_a"], pair["method_b"], pair["blocks"]) == ("a", "b", 3)
    assert pair["mean_difference"] == pytest.approx(0.2)
    assert pair["difference_ci95"] == pytest.approx(4.302653 * 0.1 / 3**0.5)
    best, other = result.ranks.to_dict("records")
    assert np.isnan([best[column] for column in RANK_COLUMNS[4:]]).all()
    assert other["difference_to_best"] == pytest.approx(-0.2)
    assert other["difference_to_best_ci95"] == pair["difference_ci95"]
    assert other["holm_p_to_best"] == pair["holm_p"]


@pytest.mark.parametrize(
    "hundredths",
    [
        [1, -2, 3, 4, 5],
        [1, 2, 3, 4, 5, 6],
        [1, 1, -1, 2, 2, 7],
        [0, 0, 3, -1, 4, 4, 4],
        [5, -5],
        [3, -2, 8, 9, 9, 4, -1, 6, 0, 2],
    ],
)
def test_wilcoxons_p_is_exact_with_ties_and_zeros(hundredths):
    result = compared({"a": [0.5 + d / 100 for d in hundredths], "b": [0.5] * len(hundredths)})
    assert result.pairs["wilcoxon_p"][0] == pytest.approx(enumerated_p(hundredths))


def test_wilcoxons_p_by_hand():
    """The negative ranks add up to 2; of the 32 patterns, {}, {1} and {2} do not exceed that, and as many on top."""
    result = compared({"a": [0.51, 0.48, 0.53, 0.54, 0.55], "b": [0.5] * 5})
    assert result.pairs["wilcoxon_p"][0] == 6 / 32


@pytest.mark.parametrize("blocks", [1, 2, 5, 13, 14, 60])
@pytest.mark.filterwarnings("error")
def test_methods_that_never_differ_are_alike(blocks):
    result = compared({"a": [0.5] * blocks, "b": [0.5] * blocks, "c": [0.5] * blocks})
    assert result.pairs["wilcoxon_p"].tolist() == result.pairs["holm_p"].tolist() == [1, 1, 1]
    assert not result.pairs["significant"].any()
    assert result.friedman is None
    assert result.ranks["mean_rank"].tolist() == [2, 2, 2]


def test_holms_correction_by_hand():
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])
    np.testing.assert_allclose(holm(np.array([0.4, 0.9])), [0.8, 0.9])
    assert holm(np.array([])).tolist() == []


@pytest.mark.parametrize("seed", range(5))
def test_holms_correction_is_closed_testing(seed):
    p = np.random.default_rng(seed).uniform(size=6) ** 3
    np.testing.assert_allclose(holm(p), closed_bonferroni(list(p)))


def test_friedmans_test_by_hand():
    """Mean ranks 5/4, 7/4 and 3: chi-square 12 * 4 / 12 * (25/16 + 49/16 + 9 - 12), whose tail is exp(-x / 2)."""
    result = compared({"a": [0.9, 0.9, 0.9, 0.7], "b": [0.8, 0.8, 0.8, 0.8], "c": [0.1, 0.2, 0.3, 0.4]})
    assert result.friedman.statistic == pytest.approx(6.5)
    assert result.friedman.degrees == 2
    assert result.friedman.p == pytest.approx(np.exp(-6.5 / 2))
    assert "chi-square 6.50 with 2 degrees of freedom, approximately p = 0.039." in result.verdict


def test_friedmans_test_needs_three_methods_and_two_blocks():
    assert compared({"a": [0.9, 0.8], "b": [0.7, 0.6]}).friedman is None
    assert compared({"a": [0.9], "b": [0.7], "c": [0.5]}).friedman is None


def test_the_same_numbers_given_to_scipy():
    values = np.random.default_rng(1).normal([0.5, 0.51, 0.54, 0.62], 0.05, size=(12, 4))
    names = ["a", "b", "c", "d"]
    result = compared({name: list(values[:, k]) for k, name in enumerate(names)})
    of = dict(zip(names, values.T, strict=True))
    for row in result.pairs.itertuples():
        a, b = of[row.method_a], of[row.method_b]
        assert row.wilcoxon_p == pytest.approx(stats.wilcoxon(a, b).pvalue)
        interval = stats.ttest_rel(a, b).confidence_interval(0.95)
        assert row.mean_difference - row.difference_ci95 == pytest.approx(interval.low, abs=1e-9)
        assert row.mean_difference + row.difference_ci95 == pytest.approx(interval.high, abs=1e-9)
    np.testing.assert_allclose(result.pairs["holm_p"], closed_bonferroni(list(result.pairs["wilcoxon_p"])))
    assert result.pairs["significant"].tolist() == (result.pairs["holm_p"] < 0.05).tolist()
    assert 0 < result.pairs["significant"].sum() < 6
    assert result.friedman.p == pytest.approx(stats.friedmanchisquare(*values.T).pvalue)


@pytest.mark.parametrize(("pairs", "blocks"), [(1, 6), (3, 7), (6, 8), (10, 9), (300, 14)])
def test_how_many_blocks_are_needed(pairs, blocks):
    assert blocks_needed(pairs) == blocks
    assert pairs * 2 / 2**blocks < 0.05 <= pairs * 2 / 2 ** (blocks - 1)
    assert least_p(blocks, pairs) == pairs * 2 / 2**blocks


@pytest.mark.parametrize(("blocks", "significant"), [(5, False), (6, True)])
def test_five_seeds_can_show_nothing_and_six_a_difference_that_never_fails(blocks, significant):
    result = compared({"a": [0.9 + k / 1000 for k in range(blocks)], "b": [0.1] * blocks})
    assert result.pairs["wilcoxon_p"][0] == 2 / 2**blocks
    assert result.pairs["significant"].tolist() == [significant]
    assert result.decidable is significant
    assert ("Of 1 pair of methods, 1 differs significantly at 0.05." in result.verdict) is significant
    assert ("no difference can be called significant" in result.verdict) is not significant


def test_the_sentence_for_too_few_seeds_gives_the_numbers():
    result = compared({name: [k / 10 + seed / 100 for seed in range(5)] for k, name in enumerate("abcd")})
    assert result.verdict == (
        "Friedman's test of whether all methods are alike: chi-square 15.00 with 3 degrees of freedom, approximately "
        "p = 0.0018. With 5 seeds no difference can be called significant at 0.05, however large: the exact Wilcoxon "
        "signed-rank test gives no p below 2/2^5 = 0.0625, 0.375 after Holm's correction for 6 pairs; at least 8 seeds "
        "are needed."
    )


def test_with_one_seed_the_sentence_stands_alone():
    assert compared({"a": [0.9], "b": [0.8]}).verdict == (
        "With 1 seed no difference can be called significant at 0.05, however large: the exact Wilcoxon signed-rank "
        "test gives no p below 2/2^1 = 1; at least 6 seeds are needed."
    )


def test_only_blocks_that_all_methods_finished_count():
    result = compared({"a": [0.9, 0.8, 0.7, None], "b": [0.1, None, 0.3, 0.4], "c": [None] * 4})
    assert (result.blocks, result.begun) == (2, 4)
    assert result.ranks["method"].tolist() == ["a", "b"], "c finished nothing"
    assert result.pairs["blocks"].tolist() == [2]
    assert result.pairs["mean_difference"][0] == pytest.approx((0.8 + 0.4) / 2)
    assert result.verdict.startswith("All 2 methods finished 2 of 4 seeds, and only these count. With 2 seeds")


def test_methods_without_a_seed_in_common():
    result = compared({"a": [0.9, None], "b": [None, 0.3]})
    assert result.verdict == (
        "None of 2 seeds was finished by all 2 methods, so that nothing can be compared; "
        "methods need the same seeds and orders."
    )
    assert result.ranks.to_csv(index=False).splitlines()[1:] == ["a,0,,,,,,,,", "b,0,,,,,,,,"]
    assert result.pairs.empty
    assert not result.decidable


@pytest.mark.parametrize("values", [{}, {"a": []}, {"a": [0.5, 0.6]}, {"a": [0.5], "b": [None]}])
def test_without_two_methods_there_is_nothing_to_say(values):
    result = compared(values)
    assert result.verdict == ""
    assert result.pairs.empty
    assert tuple(result.pairs) == PAIR_COLUMNS
    assert tuple(result.ranks) == RANK_COLUMNS
    assert not result.decidable


def in_orders(values: dict[str, dict[tuple[int, int], float]]) -> pd.DataFrame:
    """The rows of accuracy.csv for a stream of one task; of each method a value for each (seed, order)."""
    rows = [
        (method, seed, 1, 1, "t", value, 10, order)
        for method, own in values.items()
        for (seed, order), value in own.items()
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, "order"])


def test_over_seeds_and_orders_the_more_cautious_answer_counts():
    """Of seeds there are fewer, so that they are the blocks."""
    a = {(0, 0): 0.5, (1, 0): 0.7, (0, 1): 0.4, (1, 1): 0.2, (0, 2): 0.9, (1, 2): 0.5}
    result = paired_statistics(in_orders({"a": a, "b": dict.fromkeys(a, 0.25)}), ["a", "b"], tasks=1)
    assert (result.block, result.blocks, result.counted(result.blocks)) == ("seed", 2, "2 seeds")
    (pair,) = result.pairs.to_dict("records")
    assert pair["mean_difference"] == pytest.approx(0.85 / 3)
    over_orders = 4.302653 * np.std([0.35, 0.05, 0.45], ddof=1) / 3**0.5
    over_seeds = 12.706205 * np.std([0.6 - 0.25, 1.4 / 3 - 0.25], ddof=1) / 2**0.5
    assert pair["difference_ci95"] == pytest.approx(max(over_orders, over_seeds))
    # All of one sign either way: 2 / 2^3 over orders, 2 / 2^2 over seeds.
    assert pair["wilcoxon_p"] == 2 / 2**2
    assert "With 2 seeds no difference can be called significant" in result.verdict


def test_a_method_that_is_the_same_in_every_order_varies_over_its_seeds():
    """Of a method that isolates its tasks each seed has one result, whatever the order: it is no less uncertain."""
    a = {(seed, order): 0.5 + seed / 10 for seed in range(4) for order in range(3)}
    result = paired_statistics(in_orders({"a": a, "b": dict.fromkeys(a, 0.1)}), ["a", "b"], tasks=1)
    # t for 3 degrees of freedom is 3.182446.
    expected = 3.182446 * np.std([0, 0.1, 0.2, 0.3], ddof=1) / 4**0.5
    assert result.pairs["difference_ci95"][0] == pytest.approx(expected)


def test_a_seed_of_its_own_in_each_order_is_a_block():
    repetitions = [(seed, seed) for seed in range(6)]
    values = {"a": {r: 0.5 + r[0] / 100 for r in repetitions}, "b": dict.fromkeys(repetitions, 0.4)}
    result = paired_statistics(in_orders(values), ["a", "b"], tasks=1)
    assert (result.block, result.blocks) == ("order", 6)
    assert result.pairs["wilcoxon_p"][0] == 2 / 2**6


def test_a_column_of_one_order_changes_nothing():
    values = {"a": {(seed, 0): 0.5 + seed / 10 for seed in range(3)}, "b": {(seed, 0): 0.4 for seed in range(3)}}
    result = paired_statistics(in_orders(values), ["a", "b"], tasks=1)
    assert (result.block, result.blocks) == ("seed", 3)


def test_of_an_order_only_the_seeds_that_all_methods_finished_count():
    a = {(0, 0): 0.5, (1, 0): 0.7, (0, 1): 0.4, (1, 1): 0.2}
    result = paired_statistics(in_orders({"a": a, "b": {(0, 0): 0.1, (0, 1): 0.1, (1, 1): 0.3}}), ["a", "b"], tasks=1)
    assert (result.blocks, result.begun, result.incomplete) == (2, 2, 1)
    assert result.pairs["mean_difference"][0] == pytest.approx(((0.5 - 0.1) + (0.3 - 0.2)) / 2)
    assert result.verdict.startswith("Of 1 order only what all 2 methods finished counts.")


RISING = [k / 1000 for k in range(12)]


def against(reference: str, bounds=(), **offsets: float):
    """Methods that lie apart by so much in each of 12 seeds."""
    values = {name: [0.2 + offset + noise for noise in RISING] for name, offset in offsets.items()}
    return paired_statistics(one_task(values), list(values), tasks=1, reference=reference, bounds=bounds)


def test_with_a_reference_each_other_method_is_tested_once():
    result = against("b", a=0.3, b=0.2, c=0.0)
    assert result.pairs[["method_a", "method_b"]].to_numpy().tolist() == [["a", "b"], ["b", "c"]]
    assert result.pairs["mean_difference"].tolist() == pytest.approx([0.1, 0.2])
    # Two tests of p = 2 / 2^12 each.
    assert result.pairs["holm_p"].tolist() == [4 / 2**12] * 2
    ranks = result.ranks.set_index("method")
    assert ranks["difference_to_reference"].dropna().to_dict() == pytest.approx({"a": 0.1, "c": -0.2})
    assert ranks["holm_p_to_reference"].dropna().to_dict() == {"a": 4 / 2**12, "c": 4 / 2**12}
    # To the best, a, everything is told, but p where that pair was tested.
    assert ranks["difference_to_best"].dropna().to_dict() == pytest.approx({"b": -0.1, "c": -0.3})
    assert ranks["holm_p_to_best"].dropna().to_dict() == {"b": 4 / 2**12}
    assert "Of 2 methods compared with b, 2 differ significantly at 0.05." in result.verdict


def test_with_a_reference_many_methods_need_fewer_seeds():
    """With 10 methods and 10 seeds, 9 tests can come to 9 * 2 / 2^10 = 0.018; all 45 pairs to no less than 0.088."""
    values = {f"m{k}": [k / 20 + seed / 1000 for seed in range(10)] for k in range(10)}
    tested = {r: paired_statistics(one_task(values), list(values), 1, reference=r) for r in ("m0", "all")}
    assert tested["m0"].pairs["holm_p"].max() == pytest.approx(9 * 2 / 2**10)
    assert tested["m0"].decidable
    assert tested["all"].pairs["holm_p"].min() == pytest.approx(45 * 2 / 2**10)
    assert not tested["all"].decidable


def test_a_reference_that_finished_nothing_is_told():
    values = {"a": [None, None], "b": [0.5, 0.6], "c": [0.4, 0.3]}
    result = paired_statistics(one_task(values), list(values), tasks=1, reference="a")
    assert result.pairs.empty
    assert "a, with which the others are compared, finished no seed" in result.verdict
    assert result.leaders == frozenset()


@pytest.mark.parametrize(
    ("reference", "offsets", "bounds", "leaders"),
    [
        # The reference is the best: those that do not differ from it. "same" swings around it.
        ("a", {"a": 0.3, "b": 0.2, "c": 0.1}, (), {"a"}),
        ("all", {"a": 0.3, "b": 0.2, "c": 0.1}, (), {"a"}),
        # The reference is below the best: what is below the reference is below the best; what is above it was not
        # tested against the best.
        ("b", {"a": 0.3, "b": 0.2, "c": 0.1}, (), {"a"}),
        ("c", {"a": 0.3, "b": 0.2, "c": 0.1}, (), {"a", "b"}),
        # A bound is never in bold, and is not the best that others are measured by.
        ("b", {"a": 0.3, "b": 0.2, "c": 0.1}, ("a",), {"b"}),
        # Two that are below a bound were not tested against each other.
        ("a", {"a": 0.3, "b": 0.2, "c": 0.1}, ("a",), set()),
        ("all", {"a": 0.3, "b": 0.2, "c": 0.1}, ("a",), {"b"}),
        # Nothing is told apart.
        ("all", {"a": 0.3, "b": 0.3}, (), set()),
    ],
)
def test_bold_is_the_best_and_what_no_test_puts_below_it(reference, offsets, bounds, leaders):
    assert against(reference, bounds, **offsets).leaders == leaders


def test_a_method_that_does_not_differ_from_the_best_is_bold_with_it():
    swing = [(-1) ** seed / 100 for seed in range(12)]
    values = {"a": [0.5] * 12, "b": [0.499 + s for s in swing], "c": [0.2 + s for s in swing]}
    for reference in ("all", "a", "b"):
        assert paired_statistics(one_task(values), list(values), 1, reference=reference).leaders == {"a", "b"}


@pytest.mark.parametrize("seeds", [1, 5])
def test_nothing_is_bold_where_no_test_can_tell_methods_apart(seeds):
    assert compared({"a": [0.9 + k / 1000 for k in range(seeds)], "b": [0.1] * seeds}).leaders == frozenset()


def test_methods_at_chance_are_neither_ranked_nor_tested_and_the_others_are_corrected_for_fewer_tests():
    values = {"a": [0.9, 0.8, 0.9], "b": [0.7, 0.6, 0.8], "c": [0.1, None, 0.1], "d": [0.5, 0.6, 0.5]}
    result = paired_statistics(one_task(values), list(values), tasks=1, at_chance=["c"])
    without = compared({method: own for method, own in values.items() if method != "c"})
    pd.testing.assert_frame_equal(result.ranks, without.ranks)
    pd.testing.assert_frame_equal(result.pairs, without.pairs)
    assert (result.blocks, len(result.pairs)) == (3, 3), "a block that only c did not finish counts"
    assert result.verdict == f"c is at chance level and therefore not ranked. {without.verdict}"


def test_if_the_reference_is_at_chance_nothing_is_tested():
    values = {"a": [0.1] * 8, "b": [0.7] * 8, "c": [0.6] * 8}
    result = paired_statistics(one_task(values), list(values), tasks=1, reference="a", at_chance=["a"])
    assert result.ranks["method"].tolist() == ["b", "c"]
    assert result.pairs.empty
    assert "a, with which the others are compared, is at chance level, so that nothing can be tested" in result.verdict
    assert result.leaders == frozenset()


@pytest.mark.parametrize("methods", ["a", "ab"])
def test_with_fewer_than_two_methods_above_chance_there_is_nothing_to_compare(methods):
    values = {"a": [0.1, 0.2], "b": [0.7, 0.7]}
    result = paired_statistics(one_task(values), list(values), tasks=1, at_chance=list(methods))
    names, verb = ", ".join(methods), "is" if len(methods) == 1 else "are"
    assert result.verdict == f"{names} {verb} at chance level and therefore not ranked. So there is nothing to compare."
    assert len(result.ranks) == 2 - len(methods)
    assert not result.decidable


@pytest.mark.parametrize(("blocks", "shown"), [(4, True), (5, False)])
def test_the_differences_themselves_are_kept_where_blocks_are_too_few_for_an_interval(blocks, shown):
    values = {"a": [0.5, 0.6, 0.7, 0.8, 0.9][:blocks], "b": [0.4] * blocks}
    result = compared(values)
    assert set(result.repeated) == ({("b", "difference_to_best")} if shown else set())
    for differences in result.repeated.values():
        np.testing.assert_allclose(differences, [-0.1, -0.2, -0.3, -0.4])
