"""What a method stores and computes, from the records of its cells. results/columns.py says what each number means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.storage.records import Record, Records


@dataclass(frozen=True)
class Costs:
    """The finished cells of one method, and what they are set against.

    Attributes:
        cells: the records of each.
        backbone: its entry in the manifest. Without "bytes", what is stored beyond them is not known.
        fine_tuning_flops: what plain fine-tuning computes over the stream.
        bare_inference: operations an image of the bare backbone, on the task that the cells end with, in the mean.
        fine_tuning_seconds: in which plain fine-tuning was trained; NaN where that is not known.
    """

    cells: Sequence[Records]
    backbone: Mapping[str, Any] = field(default_factory=dict)
    fine_tuning_flops: float = math.nan
    bare_inference: float = math.nan
    fine_tuning_seconds: float = math.nan

    def total(self, what: str) -> float:
        """What the tasks' records say of `what`, added up over the stream; the mean of the cells."""
        return mean(sum(record[what] for record in after) for after in self.cells)

    def size(self, part: str) -> float:
        """Bytes of a part of the state after the stream; the mean of the cells."""
        return mean(after[-1]["bytes"][part] for after in self.cells)

    @property
    def records(self) -> list[Record]:
        """Of all tasks of all cells."""
        return [record for after in self.cells for record in after]


def mean(values: Iterable[float]) -> float:
    """The mean; there is a value."""
    listed = list(values)
    return sum(listed) / len(listed)


def extra_parameters_per_task(costs: Costs) -> float:
    """The growth of the state per task from the first one on, without heads and stored samples, in values of float32.

    What is kept once, whatever the number of tasks, is seen in the byte columns. With one task, the growth from the
    start.
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
    """That growth, of the backbone's parameters."""
    return 100 * extra_parameters_per_task(costs) / costs.backbone["parameters"]


def head_parameters_per_task(costs: Costs) -> float:
    """All heads over the number of tasks, in values of float32."""
    return costs.size("heads") / 4 / len(costs.cells[0])


def state_bytes(costs: Costs) -> int:
    """The state after the stream."""
    return round(sum(costs.size(part) for part in ("frozen", "shared", "task", "memory")))


def stored_bytes(costs: Costs) -> float:
    """The state beyond the backbone as given, which every method needs once, whether it refers to it or changes it."""
    return state_bytes(costs) - (costs.backbone.get("bytes") or math.nan)


def stored_percent(costs: Costs) -> float:
    """That, of the backbone's bytes."""
    return 100 * stored_bytes(costs) / (costs.backbone.get("bytes") or math.nan)


def inference_flops(costs: Costs) -> float:
    """Operations an image of the network that answers for the last task learned."""
    return mean(after[-1]["inference_flops_per_image"] for after in costs.cells)


def peak_memory_bytes(costs: Costs) -> int | None:
    """The most memory that learning a task took; None where it was not measured for all tasks."""
    peaks = [record["peak_memory_bytes"] for record in costs.records]
    return None if None in peaks else max(peaks)


def features_cached(costs: Costs) -> bool:
    """Whether the features of the training images were computed once in each task."""
    # A record without such an entry is of a version that computed no features once.
    return all(record.get("features_cached", False) for record in costs.records)
