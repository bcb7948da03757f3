"""What methods store after the stream, by kind."""

from __future__ import annotations

import pandas as pd

from benchmark.results.questions import asked
from benchmark.storage.manifest import Manifest

#: The kinds, as figures name them; together they are the state of a method.
KINDS = ("frozen tensors", "shared tensors", "tensors of tasks", "heads", "replayed samples", "other memory")


def stored_kinds(parameters: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """The bytes of each kind: a row for each method, called by its label, and the columns KINDS.

    Args:
        parameters: the rows of parameters.csv.
        manifest: of the run.
    """
    heads = 4 * parameters["head_parameters_per_task"] * len(manifest.tasks)
    # A task has heads of its own if the method learned to be told the task; else a shared tensor is their head.
    own = [asked(manifest, label).own == "task" for label in parameters["method"]]
    of_tasks = heads.where(own, 0).clip(upper=parameters["task_bytes"])
    kinds = (
        parameters["frozen_bytes"],
        parameters["shared_bytes"] - (heads - of_tasks),
        parameters["task_bytes"] - of_tasks,
        heads,
        parameters["replay_bytes"],
        parameters["memory_bytes"] - parameters["replay_bytes"],
    )
    table = pd.DataFrame(dict(zip(KINDS, kinds, strict=True))).astype(float)
    return table.set_axis(parameters["method"].astype(str))
