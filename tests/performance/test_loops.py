from __future__ import annotations

import pytest
import torch

from benchmark.learning.learner import start
from benchmark.learning.seeds import derive
from benchmark.learning.training import Training
from methods.configured import configure
from methods.network import Network
from performance.loops import BareNetwork, bare_loop, cell_of, harness_loop, noise_task, seconds_per_step


@pytest.mark.parametrize("method", ["sgd:lr=0.3", "sgd:lr=0.3:clip=0:schedule=constant", "sgd:optimizer=adam"])
def test_the_bare_loop_learns_what_the_harness_learns(tiny_network: Network, method: str) -> None:
    # One batch of all images: their order does not matter.
    task, training = noise_task(1, images=16, size=8, classes=4), Training(configure(method).recipe, 4, batch_size=16)
    cell = cell_of(method, tiny_network, classes=4)
    torch.manual_seed(derive(0, 1, "head"))
    seconds, loss = bare_loop(BareNetwork(tiny_network, 4), task.train, training)
    theirs, learned = harness_loop(cell, start(cell), task, training)
    assert learned.losses[-1] == pytest.approx(loss, rel=1e-4)
    assert learned.losses[-1] < 0.99 * learned.losses[0]
    assert len(seconds) == len(theirs) == 3


def test_the_first_epoch_is_not_timed() -> None:
    assert seconds_per_step([7.0, 8.0, 10.0], steps=4) == [0.25, 0.5]
