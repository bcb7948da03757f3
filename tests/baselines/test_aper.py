"""The nearest class mean of frozen and adapted features, worked out in double precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.checks.tiny import three_tasks
from benchmark.learning.evaluation import evaluate, network_for
from benchmark.learning.learner import Cell, LearnedTask, learn, prepare, start
from benchmark.learning.operations import feature_operations_per_image
from benchmark.learning.training import Training
from benchmark.planning.estimate import StreamShape
from benchmark.storage.records import Records
from methods.network import Network
from methods.recipe import Recipe
from methods.scenarios import Scenario

ENDS = {"class": (0, 3, 5, 9), "domain": (0, 0, 0, 0)}


@pytest.fixture
def learn_on_vit(
    make_cell: Callable[..., Cell], vit: Network
) -> Callable[[str, Scenario], tuple[Cell, tuple[Any, ...], list[LearnedTask]]]:
    """learn_on_vit("aper", "class") -> the cell, its three tasks and what was learned of each, in double precision."""

    def fold(spec: str, scenario: Scenario) -> tuple[Cell, tuple[Any, ...], list[LearnedTask]]:
        tasks = three_tasks(scenario)
        widths = tuple(len(task.classes) for task in tasks)
        cell = replace(make_cell(spec, vit), scenario=scenario, widths=widths, most_classes=max(widths))
        state, found = start(cell), []
        for task in tasks:
            found.append(learn(cell, state, task, Training(Recipe("adam", lr=0.01), epochs=2, batch_size=8)))
            state = found[-1].state
        return cell, tasks, found

    return fold


def test_features_are_the_frozen_ones_and_the_adapted_ones(vit: Network, make_cell: Any, plain_vit: Any) -> None:
    class Adapted(plain_vit):
        def beside(self, name: str, x: Tensor) -> Tensor:
            down, down_bias, up, up_bias = (
                self.t[f"{name}.adapter.{n}"] for n in ("down", "down_bias", "up", "up_bias")
            )
            return x + 0.1 * ((x @ down.T + down_bias).clamp(min=0) @ up.T + up_bias)

    network = prepare(make_cell("aper", vit), 1).network.eval()
    for name, parameter in network.named_parameters():
        if ".adapter." in name:
            nn.init.normal_(parameter)
    tensors = {name: tensor.detach() for name, tensor in network.backbone.state_dict().items()}
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        features = network.features(images)
    inputs = images * network.scale + network.shift
    expected = torch.cat([plain_vit(tensors).features(inputs), Adapted(tensors).features(inputs)], 1)
    torch.testing.assert_close(features, expected, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(features[:, :8], features[:, 8:])
    assert network.feature_dim == 16


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_the_head_is_the_mean_of_each_class(scenario: Scenario, learn_on_vit: Callable[..., Any]) -> None:
    cell, tasks, found = learn_on_vit("aper", scenario)
    sums: dict[int, Any] = {}
    for number, (task, learned) in enumerate(zip(tasks, found, strict=True), 1):
        with torch.no_grad():
            features = network_for(cell, learned.state, number, 3).features(task.train.images).numpy()
        for column in task.train.labels.unique().tolist():
            own = features[task.train.labels.numpy() == column].sum(0)
            sums[column] = sums.get(column, 0) + own if scenario == "domain" else own
        head = learned.state.shared["heads.shared.weight"].numpy()
        for column, total in sums.items():
            np.testing.assert_allclose(head[column], total / np.linalg.norm(total), rtol=1e-7)
        assert not learned.state.shared["heads.shared.bias"].any()


@pytest.mark.parametrize("module", ["adapter", "ssf", "vpt"])
def test_the_module_is_not_in_the_frozen_pass(module: str, learn_on_vit: Callable[..., Any], vit: Network) -> None:
    """Also where the weights of a network that only answers are computed once: the answers are those of the logits."""
    cell, tasks, found = learn_on_vit(f"aper:module={module}", "class")
    network = network_for(cell, found[-1].state, 3, 4)
    images = tasks[1].test.images
    with torch.no_grad():
        features, frozen, logits = network.features(images), vit.eval().features(images), network(images)
    torch.testing.assert_close(features[:, :8], frozen, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(features[:, 8:], frozen, atol=1e-3)
    answers = evaluate(network, tasks[1].test, torch.device("cpu"))
    assert answers.classes.tolist() == logits.argmax(1).tolist()
    np.testing.assert_allclose(answers.confidence, logits.softmax(1).amax(1), rtol=1e-6)


def test_only_the_first_task_makes_steps(learn_on_vit: Callable[..., Any]) -> None:
    cell, _, found = learn_on_vit("aper", "class")
    assert [learned.steps for learned in found] == [10, 0, 0]
    assert [len(learned.losses) for learned in found] == [2, 0, 0]
    # Who shows progress counts on as many epochs in each task.
    told: list[int] = []
    second = three_tasks("class")[1]
    learn(cell, found[0].state, second, Training(Recipe(), epochs=7, batch_size=8), on_epoch=lambda: told.append(1))
    assert len(told) == 7
    before, *after = (
        {name: tensor for name, tensor in state.shared.items() if name.startswith("backbone.")}
        for state in (start(cell), *(learned.state for learned in found))
    )
    assert before.keys() == after[0].keys()
    assert not any(torch.equal(before[name], after[0][name]) for name in before)
    for name in before:
        assert torch.equal(after[0][name], after[2][name])


def test_the_loss_of_the_first_task(make_cell: Callable[..., Cell], vit: Network) -> None:
    """A linear head on the adapted features, which are at first the frozen ones."""
    cell = replace(make_cell("aper", vit), scenario="class", widths=(3, 2, 4))
    task = three_tasks("class")[0]
    learned = learn(cell, start(cell), task, Training(Recipe(), epochs=1, batch_size=len(task.train)))
    torch.manual_seed(cell.derive(1, "head"))
    linear = nn.Linear(16, 3).double()
    with torch.no_grad():
        features = vit.eval().features(task.train.images)
        logits = features @ linear.weight[:, 8:].T + linear.bias
    expected = (logits.logsumexp(1) - logits[torch.arange(len(logits)), task.train.labels]).mean()
    assert learned.losses == [pytest.approx(expected.item(), rel=1e-10)]


@pytest.mark.parametrize(("module", "values"), [("adapter", 1_189_632), ("ssf", 205_824), ("vpt", 12 * 10 * 768)])
def test_what_it_stores_on_vit_b_16(module: str, values: int, vit_b_16: Network, make_cell: Any) -> None:
    """The module, and nothing for a task."""
    shared = start(replace(make_cell(f"aper:module={module}", vit_b_16), device=torch.device("meta"))).shared
    assert sum(tensor.numel() for tensor in shared.values()) == values


def test_what_it_stores_and_computes_on_vit_b_16(vit_b_16: Network, costs_on_vit: Callable[..., Records]) -> None:
    """Two passes, one of them with adapters of 1,189,632 values; 2 D values a class in the head."""
    records = costs_on_vit("aper", StreamShape(tasks=2, classes=3, images=4, image_size=224))
    plain = feature_operations_per_image(vit_b_16, 224)
    adapters = 12 * 197 * 2 * 2 * 768 * 64
    for task, record in enumerate(records, 1):
        classes = 3 * task
        assert record["bytes"]["shared"] == 4 * (1_189_632 + classes * (2 * 768 + 1))
        assert record["bytes"]["memory"] == record["bytes"]["task"] == 0
        assert record["inference_flops_per_image"] == 2 * plain + adapters + 2 * 2 * 768 * classes
        if task > 1:
            # The sum of each class's features is a product too.
            assert record["training_flops"] == 4 * (2 * plain + adapters + 2 * 2 * 768 * classes)
