"""Seeds are different wherever what they are for is different."""

from __future__ import annotations

from itertools import combinations

from benchmark.learning.seeds import derive


def test_no_name_of_a_task_makes_two_purposes_one():
    purposes = [
        ("a", "order"),
        ("a/order",),
        ("a", "b", "order"),
        ("a/b", "order"),
        ("a", "b/order"),
        ('a", "b', "order"),
        ("a, b", "order"),
        ("1", "order"),
        (1, "order"),
        ("adapt",),
        ("adapt", "adapt"),
        ("", "adapt"),
    ]
    seeds = [derive(0, *purpose) for purpose in purposes]
    assert not [pair for pair in combinations(range(len(seeds)), 2) if seeds[pair[0]] == seeds[pair[1]]]
    # 1 and 23 are not 12 and 3.
    assert derive(1, "23") != derive(12, "3")
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_same_purpose_has_the_same_seed():
    assert derive(3, "digits", "order") == derive(3, "digits", "order") != derive(4, "digits", "order")
