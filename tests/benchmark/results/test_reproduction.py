"""reproduction.csv: what is not defined gets no verdict, and manifests of other versions can be read."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.results.reproduction import published_of, reproduction_table
from benchmark.storage.manifest import Manifest
from benchmark.storage.published import Published, Target
from methods.errors import UserError


@pytest.mark.parametrize("rule", [{}, {"tolerance": 1.0}, {"bound": True}, {"spread": 0.1, "spread_is": "sd"}])
def test_a_number_that_one_task_does_not_have_is_not_judged(rule: dict) -> None:
    """The forgetting of a single task, in two repetitions."""
    target = Target("row", "er", "task", "forgetting", 0.25, repetitions=3, **rule)
    manifest = Manifest(reproduces=Published("p", "", "t", "s", (target,)).as_json())
    matrices = {("er", "task"): {(0, 0): np.array([[0.5]]), (1, 0): np.array([[0.75]])}}
    (row,) = reproduction_table(manifest, matrices, [], ["seed"]).to_dict("records")
    assert (row["verdict"], row["rule"]) == ("not run", "none")
    assert np.isnan(row["ours"])


def test_a_column_of_another_version_is_left_out_and_the_other_numbers_are_compared() -> None:
    targets = (
        Target("a", "er", "task", "gone", 0.5),
        Target("b", "er", "task", "average_accuracy", 0.5, tolerance=0.1),
    )
    manifest = Manifest(reproduces=Published("p", "", "t", "s", targets).as_json())
    table = reproduction_table(manifest, {("er", "task"): {(0, 0): np.array([[0.5]])}}, [], ["seed"])
    assert table[["row", "verdict"]].to_numpy().tolist() == [["b", "agrees"]]
    published = published_of(manifest)
    assert published is not None
    assert [each.row for each in published.targets] == ["b"], "as many as rows, for who shows them side by side"


def test_of_seeds_and_orders_the_wider_interval_judges() -> None:
    """Two orders differ by 0.4, two seeds by 0.02: 0.3 below the published number is no surprise for other orders."""
    accuracies = {(0, 0): 0.30, (1, 0): 0.32, (0, 1): 0.70, (1, 1): 0.72}
    matrices = {("er", "task"): {repetition: np.array([[a]]) for repetition, a in accuracies.items()}}
    manifest = Manifest(
        reproduces=Published("p", "", "t", "s", (Target("a", "er", "task", "average_accuracy", 0.81),)).as_json()
    )
    for factors in (["seed", "order"], ["order", "seed"]):
        (row,) = reproduction_table(manifest, matrices, [], factors).to_dict("records")
        assert row["ours"] == pytest.approx(0.51)
        # t of one degree of freedom is 12.706; the sd of 0.31 and 0.71 is 0.2828; one published run.
        assert row["difference_ci95"] == pytest.approx(12.7062 * 0.282843 * (1 / 2 + 1) ** 0.5 + 0.005, rel=1e-4)
        assert row["our_spread"] == pytest.approx(0.282843, rel=1e-4)
        assert row["verdict"] == "agrees"


@pytest.mark.parametrize("gone", ["part", "targets", "value"])
def test_a_manifest_that_lacks_something_is_refused_in_a_sentence(gone: str) -> None:
    content = Published("p", "", "t", "s", (Target("a", "er", "task", "average_accuracy", 0.5),)).as_json()
    for entry in (content, *content["targets"]):
        entry.pop(gone, None)
    with pytest.raises(UserError, match="an entry 'reproduces' that `reproduce` did not write"):
        published_of(Manifest(reproduces=content))
