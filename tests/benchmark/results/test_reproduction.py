"""reproduction.csv: what is not defined gets no verdict."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.results.reproduction import reproduction_table
from benchmark.storage.manifest import Manifest
from benchmark.storage.published import Published, Target


@pytest.mark.parametrize("rule", [{}, {"tolerance": 1.0}, {"bound": True}, {"spread": 0.1, "spread_is": "sd"}])
def test_a_number_that_one_task_does_not_have_is_not_judged(rule: dict) -> None:
    """The forgetting of a single task, in two repetitions."""
    target = Target("row", "er", "task", "forgetting", 0.25, repetitions=3, **rule)
    manifest = Manifest(reproduces=Published("p", "", "t", "s", (target,)).as_json())
    matrices = {("er", "task"): {(0, 0): np.array([[0.5]]), (1, 0): np.array([[0.75]])}}
    (row,) = reproduction_table(manifest, matrices, [], ["seed"]).to_dict("records")
    assert (row["verdict"], row["rule"]) == ("not run", "none")
    assert np.isnan(row["ours"])
