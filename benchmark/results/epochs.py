"""epochs.csv: how long each task was learned where validation images decided on it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from benchmark.results.schema import EPOCH_COLUMNS
from benchmark.storage.manifest import Manifest
from benchmark.storage.records import CellKey, Records


def epoch_table(records: Mapping[CellKey, Records], manifest: Manifest) -> pd.DataFrame:
    """The rows of epochs.csv, and `order`; none if no method looks at validation images.

    Args:
        records: those of each cell.
        manifest: of the run.
    """
    rows = [
        {
            "method": method,
            "seed": seed,
            "order": order,
            "task": record["learned"],
            "task_name": manifest.tasks[manifest.orders[order][record["learned"] - 1] - 1]["task_name"],
            "epochs_learned": record["epochs_learned"],
            "epoch_kept": record["epoch_kept"],
            "validation_accuracy": record["kept_validation_accuracy"],
        }
        for (method, seed, order), after in records.items()
        for record in after
        if "epochs_learned" in record
    ]
    return pd.DataFrame(rows, columns=list(EPOCH_COLUMNS))
