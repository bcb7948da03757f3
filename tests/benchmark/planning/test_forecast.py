"""How long a run takes, worked out by hand with a clock that is set."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from benchmark.backbones import backbone_of
from benchmark.learning.operations import training_operations_per_image
from benchmark.planning.estimate import StreamShape
from benchmark.planning.forecast import Speed, decoded_bytes, forecast, measure_speed
from benchmark.report.forecast import forecast_display


class Clock:
    """Every step of the clock takes the next of these times, in seconds; between them no time passes."""

    def __init__(self, *taken: float):
        self.now, self.taken = 0.0, iter(taken)
        self.running = False

    def __call__(self) -> float:
        if self.running:
            self.now += next(self.taken)
        self.running = not self.running
        return self.now


@pytest.mark.parametrize(("first", "images"), [(0.1, 16), (0.5, 8)])
def test_whole_batches_are_timed_where_a_few_images_are_quick(first: float, images: int) -> None:
    backbone = backbone_of("mini:weights=random").network(weights=False)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    # The first step, one to warm up with the images that are timed, and two steps in 4 s.
    speed = measure_speed(backbone, 3, 32, 16, torch.device("cpu"), clock=Clock(first, 9.0, 4.0))
    assert speed.images_per_second == 2 * images / 4
    assert speed.operations_per_second == speed.images_per_second * training_operations_per_image(backbone, 3, 32)
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())


def test_time_and_disk_of_a_method() -> None:
    parameters = pd.DataFrame({"state_bytes": [50.0, 70.0], "frozen_bytes": [40.0, 0.0]})
    compute = pd.DataFrame({"method": ["clr", "er"], "training_flops": [600.0, 1200.0]})
    found = forecast(parameters, compute, Speed("cpu", 2.0, 10.0), repetitions=3)
    assert found["seconds"].tolist() == [180, 360]
    assert found["disk_bytes"].tolist() == [30, 210]
    rows = [[cell.text for cell in row] for row in forecast_display(found, "").rows]
    assert rows == [["clr", "3 min", "30 B"], ["er", "6 min", "210 B"], ["all methods", "9 min", "240 B"]]


def test_decoded_images_take_a_byte_a_value() -> None:
    assert decoded_bytes(StreamShape(tasks=2, classes=3, images=10, image_size=4), channels=3) == 2 * 10 * 3 * 16
