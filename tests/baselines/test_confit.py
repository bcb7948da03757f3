"""ConFiT's corrected means against convolutions carried out, its averages, its stages and its size."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import pairwise, product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.confit import ConFiT
from benchmark.backbones import backbones
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.network import Network


def network_of(*layers: nn.Module) -> Network:
    """In double precision, with features of the last layer's channels."""
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            layer.num_batches_tracked = None
    backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(backbone, 1, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).double()


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 6, 3, padding=1, bias=False),
        nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(4, 6, 7, stride=2, padding=3),
        nn.Conv2d(4, 6, 1, stride=2),
        nn.Conv2d(4, 6, 4, stride=4),
        nn.Conv2d(4, 6, 3, stride=3, padding=2, dilation=2),
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.Conv2d(4, 6, (3, 5), stride=(2, 3), padding=(0, 1)),
        nn.Conv2d(4, 6, 3, padding="same", dilation=2),
        nn.Conv2d(4, 6, 3, padding="valid", stride=2),
    ],
    ids=str,
)
def test_the_mean_moves_as_the_output_for_an_input_that_is_its_mean(conv: nn.Conv2d) -> None:
    """That input is one value per channel and phase of the stride; its output is compared away from the borders."""
    torch.manual_seed(0)
    network = network_of(conv, nn.BatchNorm2d(6))
    down, right = conv.stride
    means = torch.randn(down, right, 4, dtype=torch.float64)
    image = means.permute(2, 0, 1).repeat(1, 10, 10)[None]
    mean = torch.randn(6, dtype=torch.float64)
    tensors = {"backbone.1.running_mean": mean, "backbone.0.input.means": means.flatten(0, 1)}

    def middle() -> Tensor:
        output = conv(image).detach()
        return output[0, :, output.shape[2] // 2, output.shape[3] // 2]

    stored = ConFiT().stored(network, tensors)
    torch.testing.assert_close(ConFiT().restored(network, stored), tensors, rtol=1e-12, atol=1e-12)
    before = middle()
    for parameter in conv.parameters():
        parameter.data += torch.randn_like(parameter)
    moved = ConFiT().restored(network, stored)["backbone.1.running_mean"]
    torch.testing.assert_close(moved - mean, middle() - before, rtol=1e-10, atol=1e-10)


def test_an_earlier_tasks_mean_follows_the_weights_of_later_tasks(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], states: Callable[..., list[State]]
) -> None:
    """With stride 1, the mean output is the sum of the kernel times the mean input."""
    cell = make_cell("confit")
    after = states(cell, tiny_tasks)
    then, now = (network_for(cell, state, 1, 3) for state in (after[0], after[2]))
    for conv, norm in ((0, 1), (3, 4)):
        change = (now.backbone[conv].weight - then.backbone[conv].weight).sum((2, 3))
        expected = then.backbone[norm].running_mean + change @ after[0].tasks[1][f"backbone.{conv}.input.means"][0]
        assert change.abs().max() > 1e-4
        torch.testing.assert_close(now.backbone[norm].running_mean, expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(now.backbone[norm].running_var, then.backbone[norm].running_var)


@pytest.mark.parametrize("size", [5, 2, 1])
def test_input_means_are_moving_averages_per_channel_and_phase(size: int, make_cell: Callable[..., Cell]) -> None:
    """Pixel by pixel; the first batch of the first task sets them, and a phase without a pixel has mean 0."""
    torch.manual_seed(0)
    network = network_of(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4, momentum=0.25),
        nn.ReLU(),
        nn.Conv2d(4, 2, 3, stride=(2, 3), padding=1),
        nn.BatchNorm2d(2, momentum=0.5),
    )
    bench = prepare(make_cell("confit", network=network), 1)
    batches = torch.randint(0, 256, (3, 6, 3, size, size), dtype=torch.uint8)
    inputs: list[list[Tensor]] = [[], []]
    for seen, index in zip(inputs, (0, 3), strict=True):
        bench.network.backbone[index].register_forward_hook(lambda conv, args, out, seen=seen: seen.append(args[0]))

    def means(x: Tensor, down: int, right: int) -> Tensor:
        result = torch.zeros(down, right, x.shape[1], dtype=x.dtype)
        for i, j in product(range(min(down, size)), range(min(right, size))):
            pixels = [x[:, :, row, column] for row in range(i, size, down) for column in range(j, size, right)]
            result[i, j] = torch.cat(pixels).mean(0)
        return result.flatten(0, 1)

    def average(batches: list[Tensor], momentum: float, down: int, right: int) -> Tensor:
        first, *others = (means(x, down, right) for x in batches)
        return reduce(lambda so_far, new: (1 - momentum) * so_far + momentum * new, others, first)

    bench.network.train()
    for images in batches:
        bench.network.features(images)
    bench.network.eval()
    bench.network.features(batches[0] + 50)
    task = {name: tensor for name, _, tensor in bench.network.tensors()}
    torch.testing.assert_close(task["backbone.0.input.means"], average(inputs[0][:3], 0.25, 1, 1))
    torch.testing.assert_close(task["backbone.3.input.means"], average(inputs[1][:3], 0.5, 2, 3))


def test_a_later_task_goes_on_from_the_means_of_the_one_before(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], states: Callable[..., list[State]]
) -> None:
    """One step of the second task: 0.9 of the mean image of the first, and 0.1 of its batch's."""
    cell = make_cell("confit")
    (one,) = states(cell, tiny_tasks[:1])
    two = learn(cell, one, tiny_tasks[1], Training(ConFiT.recipe, epochs=1, batch_size=40)).state
    name = "backbone.0.input.means"
    batch = (tiny_tasks[1].train.images / 255 - 0.5).mean((0, 2, 3)) / 0.25
    torch.testing.assert_close(two.tasks[2][name][0], 0.9 * one.tasks[1][name][0] + 0.1 * batch)


NORMS = {f"backbone.{i}.{name}" for i in (1, 4) for name in ("weight", "bias")}
CONVS = {"backbone.0.weight", "backbone.3.weight"}


@pytest.mark.parametrize(("epochs", "head", "norms"), [(1, 0, 0), (2, 0, 1), (5, 1, 1), (8, 1, 3), (10, 2, 3)])
def test_stages(
    epochs: int,
    head: int,
    norms: int,
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fifth of the epochs, rounded down, changes the head alone; up to the half, batch normalisation too."""
    snapshots: list[dict[str, Tensor]] = []

    def record(self: ConFiT, strategy: Any, **kwargs: Any) -> None:
        snapshots.append({name: tensor.clone() for name, tensor in strategy.model.state_dict().items()})

    monkeypatch.setattr(ConFiT, "before_training_exp", record)
    monkeypatch.setattr(ConFiT, "after_training_epoch", record)
    cell = make_cell("confit")
    learn(cell, start(cell), tiny_tasks[0], Training(ConFiT.recipe, epochs, batch_size=8))
    changed = [
        {name for name in after if not torch.equal(before[name], after[name])} for before, after in pairwise(snapshots)
    ]
    statistics = {f"backbone.{i}.running_{name}" for i in (1, 4) for name in ("mean", "var")}
    always = {"heads.weight", "heads.bias", *statistics, "backbone.0.input.means", "backbone.3.input.means"}
    rest = epochs - head - norms
    assert changed == [always] * head + [always | NORMS] * norms + [always | NORMS | CONVS] * rest


@pytest.mark.parametrize(("backbone", "count"), [("resnet18", 19_200 + 6_540), ("resnet50", 106_240 + 30_604)])
def test_values_of_a_task(backbone: str, count: int) -> None:
    with torch.device("meta"):
        network = backbones.get(backbone)().network(weights=False)
    task = prepare(Cell(network, ConFiT, 2, 0, torch.device("meta")), 1).take("task")
    assert sum(tensor.numel() for tensor in task.values()) == count
    assert {tensor.dtype for tensor in task.values()} == {torch.float32}
