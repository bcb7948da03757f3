"""What a method stores and computes, from the records of its cells. results/columns.py says what each number means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.storage.records import Record, Records


@dataclass(frozen=True)
class Costs:
    """The finished cells of one method, and what they are compared with.

    Attributes:
        cells: the records of each cell.
        backbone: its entry in the manifest. Without "bytes", the storage beyond the backbone is unknown.
        fine_tuning_flops: operations of plain fine-tuning over the stream.
        bare_inference: mean operations per image of the bare backbone, on the task that the cells end with.
        fine_tuning_seconds: training time of plain fine-tuning; NaN if it is unknown.
    """

    cells: Sequence[Records]
    backbone: Mapping[str, Any] = field(default_factory=dict)
    fine_tuning_flops: float = math.nan
    bare_inference: float = math.nan
    fine_tuning_seconds: float = math.nan

    def total(self, what: str) -> float:
        """The sum of the tasks' entries for `what` over the stream; the mean over the cells."""
        return mean(sum(record[what] for record in after) for after in self.cells)

    def size(self, part: str) -> float:
        """Bytes of a part of the state after the stream; the mean over the cells."""
        return mean(after[-1]["bytes"][part] for after in self.cells)

    @property
    def records(self) -> list[Record]:
        """The records of all tasks of all cells."""
        return [record for after in self.cells for record in after]


def mean(values: Iterable[float]) -> float:
    """The mean of one or more values."""
    listed = list(values)
    return sum(listed) / len(listed)


def extra_parameters_per_task(costs: Costs) -> float:
    """The growth of the state per task after the first, without heads and stored samples, in values of float32.

    What is kept only once, however many tasks there are, shows in the byte columns. With a single task, this is the
    growth from the start.
    """
    return mean(_growth(after) / 4 for after in costs.cells)


def _growth(after: Records) -> float:
    last = _extra(after[-1]["bytes"])
    if len(after) == 1:
        return last - _extra(after[0]["bytes_before"])
    return (last - _extra(after[0]["bytes"])) / (len(after) - 1)


def _extra(sizes: Mapping[str, int]) -> int:
    return sizes["shared"] + sizes["task"] + sizes["memory"] - sizes["heads"] - sizes["replay"]


def extra_parameters_percent(costs: Costs) -> float:
    """That growth in percent of the backbone's parameters."""
    return 100 * extra_parameters_per_task(costs) / costs.backbone["parameters"]


def head_parameters_per_task(costs: Costs) -> float:
    """The size of all heads divided by the number of tasks, in values of float32."""
    return costs.size("heads") / 4 / len(costs.cells[0])


def state_bytes(costs: Costs) -> int:
    """Bytes of the state after the stream."""
    return round(sum(costs.size(part) for part in ("frozen", "shared", "task", "memory")))


def stored_bytes(costs: Costs) -> float:
    """Bytes of the state beyond the given backbone, which every method needs once, whether it changes it or not."""
    return state_bytes(costs) - (costs.backbone.get("bytes") or math.nan)


def stored_percent(costs: Costs) -> float:
    """These bytes in percent of the backbone's bytes."""
    return 100 * stored_bytes(costs) / (costs.backbone.get("bytes") or math.nan)


def inference_flops(costs: Costs) -> float:
    """Operations per image of the network that answers for the last task learned."""
    return mean(after[-1]["inference_flops_per_image"] for after in costs.cells)


def peak_memory_bytes(costs: Costs) -> int | None:
    """The most RAM that learning a task took; None if it was not measured for all tasks."""
    peaks = [record["peak_memory_bytes"] for record in costs.records]
    return None if None in peaks else max(peaks)


def training_spread(costs: Costs) -> float:
    """The sum of the tasks' spreads of the training's seconds; NaN if that of a task is unknown."""
    # A record of an older version has no such entry.
    known = all(record.get("training_spread_seconds") is not None for record in costs.records)
    return costs.total("training_spread_seconds") if known else math.nan


def features_cached(costs: Costs) -> bool:
    """Whether the features of the training images were computed only once in each task."""
    # A record without this entry is from a version that never did so.
    return all(record.get("features_cached", False) for record in costs.records)
