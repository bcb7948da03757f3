"""Three methods that were written from CONTRIBUTING alone: short, sound, and what their papers say."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy

from benchmark.checks.find import targets
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods import methods
from methods.method import Method
from methods.network import Network
from methods.registry import load_plugin

HERE = Path(__file__).parent
FILES = {"mas": "mas.py", "task-lora": "task_lora.py", "newcomers-gdumb": "gdumb.py"}


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(methods, "_entries", methods.entries())
    yield
    for file in FILES.values():
        sys.modules.pop(f"plugin_{Path(file).stem}", None)


def load(name: str) -> type[Method]:
    load_plugin(str(HERE / FILES[name]))
    return methods.get(name)


def fold(cell: Cell, tasks: tuple[Task, ...], epochs: int = 1) -> list[State]:
    found = [start(cell)]
    for task in tasks:
        found.append(learn(cell, found[-1], task, Training(cell.make_method().recipe, epochs, batch_size=8)).state)
    return found[1:]


@pytest.mark.parametrize("name", FILES)
def test_it_is_short_and_passes_all_checks(name: str) -> None:
    file = HERE / FILES[name]
    assert len(file.read_text().splitlines()) < 60
    for line in file.read_text().splitlines():
        assert not line.startswith(("from benchmark", "import benchmark")), "no file of the harness"
    (target,) = targets([str(file)])
    assert str(target) == f"method {name}"
    assert {(finding.status, finding.text) for finding in target.findings()} == {("ok", "")}


def test_mas_importance_is_that_of_the_paper(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], tiny_network: Network
) -> None:
    """Omega_i = 1/N sum_n |d ||F(x_n)||^2 / d theta_i|, by differences in double precision, of some theta_i."""
    cls = load("mas")
    after = cls.after_training_exp
    compared = []

    def compare(self: Any, step: Any) -> None:
        before = self.kept.get("importance", 0)
        after(self, step)
        found = self.kept["importance"] - before
        model, images = step.model.eval(), step.task_data.images[:9]
        parts, place = list(step.shared_parameters().values()), 0
        with torch.no_grad():
            for part in parts:
                flat = part.view(-1)
                for index in {0, flat.numel() // 2}:
                    value, lengths = flat[index].item(), []
                    for moved in (value + 1e-6, value - 1e-6):
                        flat[index] = moved
                        lengths.append(model(images).square().sum(1))
                    flat[index] = value
                    expected = ((lengths[0] - lengths[1]) / 2e-6).abs().mean()
                    torch.testing.assert_close(found[place + index], expected, rtol=1e-4, atol=1e-6)
                    compared.append(expected.item())
                place += flat.numel()
        model.train()

    cls.after_training_exp = compare
    tiny_network.double()
    fold(make_cell("mas", samples=9), tiny_tasks[:2])
    assert len(compared) >= 2 * 6
    assert max(compared) > 0


def test_mas_penalty_is_that_of_the_paper() -> None:
    method = load("mas")(strength=3.0)
    double = [torch.rand(7, dtype=torch.float64) for _ in range(3)]
    method.kept = {"importance": double[0], "anchor": double[1]}
    theta = nn.Parameter(double[2].clone())

    class Fake:
        loss = torch.ones((), dtype=torch.float64)

        def shared_parameters(self) -> dict[str, nn.Parameter]:
            return {"theta": theta}

    step = Fake()
    method.before_backward(step)
    step.loss.backward()
    torch.testing.assert_close(step.loss.item(), 1 + 1.5 * sum((double[0] * (double[2] - double[1]) ** 2).tolist()))
    torch.testing.assert_close(theta.grad, 3.0 * double[0] * (double[2] - double[1]))


@pytest.mark.parametrize("groups", [1, 2])
def test_task_lora_computes_w_plus_b_a(groups: int) -> None:
    method = load("task-lora")(rank=3)
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 8, 3, stride=2, groups=groups).double()
    weight, bias = conv.weight.detach().clone(), conv.bias.detach().clone()
    network = nn.Module()
    network.backbone = nn.Sequential(conv)
    method.adapt(network)
    own = conv.parametrizations.weight[0]
    images = torch.rand(2, 4, 7, 7, dtype=torch.float64)
    torch.testing.assert_close(conv(images), conv2d(images, weight, bias, stride=2, groups=groups), rtol=0, atol=0)
    nn.init.normal_(own.b)
    changed = weight + torch.einsum("or,riuv->oiuv", own.b, own.a.view(3, 4 // groups, 3, 3)) / 3
    expected = conv2d(images, changed, bias, stride=2, groups=groups)
    torch.testing.assert_close(conv(images), expected, rtol=1e-12, atol=1e-12)


def test_task_lora_stores_rank_times_rows_and_columns(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    load("task-lora")
    state = fold(make_cell("task-lora", rank=2, bn="frozen"), tiny_tasks[:2])[-1]
    assert state.shared == {}
    for number in (1, 2):
        sizes = [t.numel() for name, t in state.tasks[number].items() if not name.startswith("heads.")]
        assert sorted(sizes) == sorted([2 * 27, 6 * 2, 2 * 6, 5 * 2]), "3x3 and 1x1, 3 -> 6 -> 5"


def test_gdumb_trains_from_the_start_on_balanced_memory_alone(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], tiny_network: Network
) -> None:
    cls = load("newcomers-gdumb")
    seen: list[tuple[int, Tensor]] = []

    def compare(self: Any, step: Any) -> None:
        """The loss by hand, each image by the head of its task."""
        features, losses = step.model.features(step.images), []
        for image, feature in zip(step.images, features, strict=True):
            for number, task in enumerate(tiny_tasks, 1):
                same = (task.train.images == image).flatten(1).all(1)
                if same.any():
                    losses.append(cross_entropy(step.model.heads(feature[None], str(number)), task.train.labels[same]))
        assert len(losses) == len(step.images)
        torch.testing.assert_close(step.loss.double(), torch.stack(losses).mean(), rtol=1e-6, atol=1e-9)
        seen.append((self.task, step.images))

    cls.before_backward = compare
    tiny_network.double()
    bytes_of_12 = 12 * (3 * 8 * 8 + 4)
    cell = make_cell("newcomers-gdumb", memory=type(cls().memory)(bytes=bytes_of_12))
    states = fold(cell, tiny_tasks)
    for state, classes in zip(states, (3, 5, 9), strict=True):
        rows = zip(state.memory["replay.tasks"].tolist(), state.memory["replay.labels"].tolist(), strict=True)
        counts = Counter(rows)
        assert sum(counts.values()) == 12
        assert len(counts) == classes
        assert max(counts.values()) - min(counts.values()) <= 1
    assert [sum(len(images) for task, images in seen if task == number) for number in (1, 2, 3)] == [12, 12, 12]
