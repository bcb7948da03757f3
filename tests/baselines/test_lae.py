"""Online and offline adapters and their ensemble, worked out in double precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.lae import LAE
from benchmark.checks.tiny import three_tasks
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.operations import feature_operations_per_image
from benchmark.learning.strategy import Strategy
from benchmark.learning.training import Training
from benchmark.planning.estimate import StreamShape
from benchmark.storage.records import Records
from benchmark.storage.state import State
from methods.network import Network

TASKS = three_tasks("class")


@pytest.fixture
def cell(make_cell: Callable[..., Cell], vit: Network) -> Cell:
    made = make_cell("lae:bottleneck=5:scale=0.9:decay=0.75:frozen=0.6", vit)
    return replace(made, scenario="class", widths=(3, 2, 4))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The adapters after each step."""
    found: list[dict[str, Tensor]] = []
    step = Strategy._step

    def record(self: Strategy) -> None:
        step(self)
        found.append({name: p.detach().clone() for name, p in self.model.named_parameters() if "line." in name})

    monkeypatch.setattr(Strategy, "_step", record)
    return found


def online(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if ".online." in name}


def offline(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Named as the online ones."""
    return {name.replace(".offline.", ".online."): t for name, t in tensors.items() if ".offline." in name}


def test_the_moving_average(cell: Cell, states: Callable[..., list[State]], steps: list[dict[str, Tensor]]) -> None:
    """In the first task there is none; then it moves after each step, also while the online adapters wait."""
    first, _ = states(cell, TASKS[:2], Training(LAE.recipe, epochs=5, batch_size=20))
    assert offline(first.shared).keys() == online(first.shared).keys()
    for name, tensor in offline(first.shared).items():
        assert tensor.equal(first.shared[name])
    start_of_offline = offline(start(cell).shared)
    for name, tensor in offline(steps[9]).items():
        assert tensor.equal(start_of_offline[name])
    for before, after in pairwise(steps[10:]):
        for name, value in offline(after).items():
            expected = 0.75 * offline(before)[name] + 0.25 * after[name]
            torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-14)


def test_the_online_adapters_wait_in_later_tasks(
    cell: Cell, states: Callable[..., list[State]], steps: list[dict[str, Tensor]]
) -> None:
    """Two steps in each of five epochs, of which three are waited for in the second task."""
    states(cell, TASKS[:2], Training(LAE.recipe, epochs=5, batch_size=20))
    moved = [
        any(not torch.equal(before[name], after[name]) for name in online(before)) for before, after in pairwise(steps)
    ]
    assert moved == [True] * 9 + [False] * 6 + [True] * 4


def test_a_single_epoch_is_not_waited_for(cell: Cell, states: Callable[..., list[State]]) -> None:
    first, second = states(cell, TASKS[:2])
    assert not any(tensor.equal(second.shared[name]) for name, tensor in online(first.shared).items())


def test_the_surer_answer_of_both(cell: Cell, states: Callable[..., list[State]], vit: Network, plain_vit: Any) -> None:
    """The logarithm of the larger of the two probabilities of each class."""
    state = states(cell, TASKS, Training(replace(LAE.recipe, lr=0.05), epochs=2, batch_size=8))[-1]

    class Adapted(plain_vit):
        name = ""

        def beside(self, name: str, x: Tensor) -> Tensor:
            own = f"backbone.{name}.{self.name}"
            hidden = (x @ state.shared[f"{own}.down"].T + state.shared[f"{own}.down_bias"]).clamp(min=0)
            return x + 0.9 * (hidden @ state.shared[f"{own}.up"].T + state.shared[f"{own}.up_bias"])

    images, found = TASKS[1].test.images, []
    for name in ("online", "offline"):
        plain = Adapted({key: tensor.detach() for key, tensor in vit.backbone.state_dict().items()})
        plain.name = name
        features = plain.features(images * vit.scale + vit.shift)
        logits = features @ state.shared["heads.shared.weight"].T + state.shared["heads.shared.bias"]
        found.append(logits.exp() / logits.exp().sum(1, keepdim=True))
    assert not torch.allclose(*found)
    with torch.no_grad():
        answered = network_for(cell, state, 2, 2)(images)
    torch.testing.assert_close(answered, torch.maximum(*found).log(), rtol=1e-9, atol=1e-11)


def test_the_loss_is_over_the_new_classes_with_the_online_adapters(
    cell: Cell, states: Callable[..., list[State]], vit: Network
) -> None:
    """In the first step the adapters change nothing."""
    learned = learn(cell, start(cell), TASKS[0], Training(LAE.recipe, epochs=1, batch_size=40))
    torch.manual_seed(cell.derive(1, "head"))
    linear = nn.Linear(8, 3).double()
    with torch.no_grad():
        logits = linear(vit.eval().features(TASKS[0].train.images))
    expected = (logits.logsumexp(1) - logits[torch.arange(40), TASKS[0].train.labels]).mean()
    assert learned.losses == [pytest.approx(expected.item(), rel=1e-10)]
    first, second = states(cell, TASKS[:2])
    head = "heads.shared.weight"
    assert second.shared[head][:3].equal(first.shared[head])


def test_what_it_stores_and_computes_on_vit_b_16(vit_b_16: Network, costs_on_vit: Callable[..., Records]) -> None:
    """Two sets of adapters of 1,189,632 values and two passes, however many tasks there are."""
    records = costs_on_vit("lae", StreamShape(tasks=2, classes=3, images=4, image_size=224))
    plain = feature_operations_per_image(vit_b_16, 224)
    adapters = 12 * 197 * 2 * 2 * 768 * 64
    for task, record in enumerate(records, 1):
        classes = 3 * task
        assert record["bytes"]["shared"] == 4 * (2 * 1_189_632 + classes * (768 + 1))
        assert record["bytes"]["memory"] == record["bytes"]["task"] == 0
        assert record["inference_flops_per_image"] == 2 * (plain + adapters + 2 * 768 * classes)


@pytest.mark.parametrize("option", [{"decay": 1.5}, {"frozen": 1.0}, {"bottleneck": 0}, {"scale": 0.0}])
def test_options_without_a_meaning(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        LAE(**option)
