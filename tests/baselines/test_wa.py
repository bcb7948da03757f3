"""Weight aligning: the weight vectors of new classes after a task. Its loss is in test_scenarios.py."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from baselines.shared.distilled import Distilled
from baselines.wa import WA
from benchmark.checks.tiny import three_tasks
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from methods.network import Network
from methods.step import Step


def test_weights_are_positive_and_new_vectors_are_as_long_as_old_ones_on_average(
    tiny_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In double precision, from the weights at the end of the last step."""
    trained: list[tuple[Tensor, ...]] = []
    hook = Distilled.after_training_exp

    def note(self: Distilled, step: Step) -> None:
        trained.append(tuple(tensor.detach().clone() for tensor in step.model.heads.take("shared").values()))
        hook(self, step)

    monkeypatch.setattr(Distilled, "after_training_exp", note)
    cell = Cell(tiny_network.double(), WA, 4, 0, torch.device("cpu"), scenario="class", widths=(3, 2, 4))
    state = start(cell)
    for task, (old, classes) in zip(three_tasks("class"), ((0, 3), (3, 5), (5, 9)), strict=True):
        state = learn(cell, state, task, Training(WA.recipe, epochs=2, batch_size=8)).state
        weight, bias = trained[-1]
        found = state.shared["heads.shared.weight"]
        assert found.shape == (classes, 5)
        assert torch.equal(found[:old], weight[:old])
        assert torch.equal(state.shared["heads.shared.bias"], bias)
        assert (weight >= 0).all()
        assert (weight == 0).any()
        if not old:
            assert torch.equal(found, weight)
            continue
        lengths = [sum(x * x for x in row) ** 0.5 for row in weight.tolist()]
        factor = sum(lengths[:old]) / old / (sum(lengths[old:]) / (classes - old))
        torch.testing.assert_close(found[old:], factor * weight[old:], rtol=1e-12, atol=0)
    assert {*state.memory} == {"replay.images", "replay.labels", "replay.tasks"}


def test_new_weights_that_are_all_clipped_stay_0(tiny_network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their length cannot be changed; 0/0 would be no number."""
    hook = Distilled.after_training_exp

    def clip(self: Distilled, step: Step) -> None:
        hook(self, step)
        head = step.model.heads
        with torch.no_grad():
            head.take("shared")["heads.shared.weight"][head.tasks[-1].start :] = 0

    monkeypatch.setattr(Distilled, "after_training_exp", clip)
    cell = Cell(tiny_network, WA, 4, 0, torch.device("cpu"), scenario="class", widths=(3, 2, 4))
    first, second, _ = three_tasks("class")
    state = start(cell)
    for task in (first, second):
        state = learn(cell, state, task, Training(WA.recipe, epochs=1, batch_size=8)).state
    assert torch.equal(state.shared["heads.shared.weight"][3:], torch.zeros(2, 5))
