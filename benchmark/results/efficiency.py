"""efficiency.csv: what is reached with what is stored and computed, and which methods no other one beats in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.results.questions import asked
from benchmark.results.schema import EFFICIENCY_COLUMNS
from benchmark.storage.manifest import Manifest

#: What a method may be unbeaten in, as the table calls it -> the column of its cost.
_COSTS = {"storage": "stored_bytes", "compute": "training_flops"}


def efficiency_table(summary: pd.DataFrame, compute: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """The rows of efficiency.csv, for the answers of the methods that finished.

    Args:
        summary: the rows of summary.csv.
        compute: those of compute.csv.
        manifest: of the run.
    """
    table = summary[summary["average_accuracy"].notna()].reset_index(drop=True)
    table["training_flops"] = table["method"].map(compute.set_index("method")["training_flops"])
    points = 100 * (table["average_accuracy"] - table["chance_level"])
    # Nothing can be divided by the bytes of a method that stores no more than the backbone.
    table["points_per_megabyte"] = points / (table["stored_bytes"] / 1e6).where(table["stored_bytes"] > 0)
    table["points_per_teraflop"] = points / (table["training_flops"] / 1e12).where(table["training_flops"] > 0)
    pairs = zip(table["method"], table["answer"], strict=True)
    oracle = np.array([answer not in asked(manifest, method).without_oracle for method, answer in pairs], bool)
    above = table["at_chance"].ne(True).to_numpy()
    won: list[list[str]] = [[] for _ in range(len(table))]
    for known in (True, False):
        rows = np.flatnonzero((oracle == known) & above)
        for name, cost in _COSTS.items():
            own = table.iloc[rows]
            for row in rows[unbeaten(own["average_accuracy"].tolist(), own[cost].tolist())]:
                won[row].append(name)
    table["unbeaten"] = [", ".join(names) or "no" for names in won]
    return table[list(EFFICIENCY_COLUMNS)]


def unbeaten(accuracies: Sequence[float], costs: Sequence[float]) -> list[int]:
    """The places that no other one beats: as accurate or better, as cheap or cheaper, and not the same in both.

    A place whose cost is NaN neither beats nor is unbeaten.
    """
    known = [place for place, cost in enumerate(costs) if not np.isnan(cost)]

    def beats(one: int, other: int) -> bool:
        mine, its = (accuracies[one], -costs[one]), (accuracies[other], -costs[other])
        return mine != its and mine[0] >= its[0] and mine[1] >= its[1]

    return [place for place in known if not any(beats(other, place) for other in known)]
