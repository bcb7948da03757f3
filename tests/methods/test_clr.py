"""CLR against a plain re-implementation written from its definition, and its exact properties."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import maxvit_t, resnet18, swin_t
from torchvision.models.vision_transformer import EncoderBlock

from benchmark.backbones import backbones
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods import methods
from methods.clr import CLR, CLRFull, CLRMixed, ReprogrammingKernel
from methods.network import Network

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def resnet() -> Network:
    """ResNet-18 with given weights: random convolutions, and batch normalisation that is no identity."""
    torch.manual_seed(0)
    network = resnet18()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            module.num_batches_tracked = None
    network.fc = nn.Identity()
    return Network(network, 512, MEAN, STD)


class PlainCLR:
    """ResNet-18 with CLR, in plain functions: a depthwise 3x3 convolution after every convolution that is not 1x1."""

    def __init__(self, weights: dict[str, Tensor], kernels: dict[str, Tensor], training: bool):
        self.w, self.k, self.training = weights, kernels, training

    def conv_bn(self, x: Tensor, conv: str, bn: str, stride: int) -> Tensor:
        weight = self.w[f"{conv}.weight"]
        c = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        if weight.shape[-1] > 1:
            c = F.conv2d(c, self.k[conv], padding=1, groups=c.shape[1])
        mean, var = self.w[f"{bn}.running_mean"].clone(), self.w[f"{bn}.running_var"].clone()
        return F.batch_norm(c, mean, var, self.w[f"{bn}.weight"], self.w[f"{bn}.bias"], self.training)

    def block(self, x: Tensor, name: str, stride: int) -> Tensor:
        out = self.conv_bn(x, f"{name}.conv1", f"{name}.bn1", stride).relu()
        out = self.conv_bn(out, f"{name}.conv2", f"{name}.bn2", 1)
        if f"{name}.downsample.0.weight" in self.w:
            x = self.conv_bn(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
        return (out + x).relu()

    def logits(self, images: Tensor) -> Tensor:
        mean = images.new_tensor(MEAN).view(1, 3, 1, 1)
        std = images.new_tensor(STD).view(1, 3, 1, 1)
        x = self.conv_bn((images / 255 - mean) / std, "conv1", "bn1", 2).relu()
        x = F.max_pool2d(x, 3, 2, 1)
        for stage in range(1, 5):
            x = self.block(x, f"layer{stage}.0", 1 if stage == 1 else 2)
            x = self.block(x, f"layer{stage}.1", 1)
        return x.mean((2, 3)) @ self.w["head.weight"].T + self.w["head.bias"]


def adapted(resnet: Network, method: CLR) -> Network:
    """The network in double precision, with random kernels and a head of 7 classes."""
    network = copy.deepcopy(resnet).double()
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (MEAN, STD))
    network.scale, network.shift = 1 / (255 * std), -mean / std  # not rounded to single precision
    method.adapt(network)
    torch.manual_seed(1)
    network.heads.add("1", 7)
    network.use_head("1", 7)
    for module in network.modules():
        if isinstance(module, ReprogrammingKernel):
            module.weight.data += 0.1 * torch.randn_like(module.weight)
    return network


@pytest.mark.parametrize("training", [False, True])
def test_logits_and_gradients_equal_a_plain_implementation(resnet: Network, training: bool) -> None:
    network = adapted(resnet, CLR()).train(training)
    named = dict(network.backbone.named_parameters()) | dict(network.backbone.named_buffers())
    plain = {name: tensor.detach().clone().requires_grad_(tensor.requires_grad) for name, tensor in named.items()}
    kernels = {
        name.removesuffix(".clr.weight"): plain.pop(name) for name in list(plain) if name.endswith(".clr.weight")
    }
    plain |= {f"head.{name}": p.detach().clone().requires_grad_() for name, p in network.heads.named_parameters()}
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    labels = torch.tensor([0, 6, 3, 1])

    logits = network(images)
    expected = PlainCLR(plain, kernels, training).logits(images.double())
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)

    F.cross_entropy(logits, labels).backward()
    F.cross_entropy(expected, labels).backward()
    assert len(kernels) == 17, "20 convolutions, 3 of them 1x1"
    for conv, kernel in kernels.items():
        live = network.backbone.get_submodule(f"{conv}.clr").weight
        torch.testing.assert_close(live.grad, kernel.grad, rtol=1e-7, atol=1e-10)
    norms = [name for name in plain if isinstance(named.get(name), nn.Parameter) and plain[name].ndim == 1]
    assert len(norms) == 2 * 20
    for name in norms:
        torch.testing.assert_close(named[name].grad, plain[name].grad, rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(network.heads.weight.grad, plain["head.weight"].grad, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("method", [CLR, CLRFull, CLRMixed])
def test_starts_exactly_as_the_backbone(resnet: Network, method: type[CLR]) -> None:
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    network = copy.deepcopy(resnet)
    method().adapt(network)
    with torch.no_grad():
        assert torch.equal(network.eval().features(images), resnet.eval().features(images))


@pytest.mark.parametrize(("method", "count"), [("clr", 54_336), ("clr-mixed", 55_232), ("clr-full", 62_400)])
def test_a_task_holds_as_many_values_as_the_definition_says(resnet: Network, method: str, count: int) -> None:
    cell = Cell(resnet, methods.get(method), 2, 0, torch.device("cpu"))
    task = prepare(cell, 1).take("task")
    assert sum(tensor.numel() for tensor in task.values()) == count
    assert all(tensor.dtype == torch.float32 for tensor in task.values())


@pytest.mark.parametrize("name", ["clr", "clr-full", "clr-mixed"])
def test_earlier_tasks_logits_are_equal_bit_for_bit(
    name: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell = make_cell(name)
    training = Training(methods.get(name).recipe, epochs=2, batch_size=8)
    state, logits = start(cell), []
    for number, task in enumerate(tiny_tasks, 1):
        state = learn(cell, state, task, training).state
        with torch.no_grad():
            logits.append(network_for(cell, state, number, len(task.classes))(task.test.images))
    for number, task in enumerate(tiny_tasks, 1):
        with torch.no_grad():
            again = network_for(cell, state, number, len(task.classes))(task.test.images)
        assert torch.equal(logits[number - 1], again)


def test_tasks_are_independent_of_each_other(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    cell = make_cell("clr")
    training = Training(CLR.recipe, epochs=2, batch_size=8)
    after_one = learn(cell, start(cell), tiny_tasks[0], training).state
    after_other = learn(cell, start(cell), tiny_tasks[2], training).state
    a, b = (learn(cell, state, tiny_tasks[1], training).state.tasks[2] for state in (after_one, after_other))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_penalty_is_the_sum_of_norms_of_what_is_trained(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """One step of plain gradient descent with and without the penalty differs by lr * penalty * x / |x|."""
    recipe = replace(CLR.recipe, optimizer="sgd", lr=0.5, momentum=0.0)
    training = Training(recipe, epochs=1, batch_size=40)
    plain, penalised = (
        learn(cell, start(cell), tiny_tasks[0], training).state.tasks[1]
        for cell in (make_cell("clr", penalty=0.0), make_cell("clr", penalty=0.1))
    )
    initial = prepare(make_cell("clr"), 1).network.state_dict()
    for name in ("backbone.0.clr.weight", "backbone.1.weight"):
        direction = initial[name] / initial[name].norm()
        torch.testing.assert_close(plain[name] - penalised[name], 0.5 * 0.1 * direction, rtol=1e-3, atol=1e-6)


def test_the_penalty_and_its_gradient_equal_autograds() -> None:
    """In double precision: tensors of any size, one with its channels last in memory, one all zeros, one unused."""
    random = torch.Generator().manual_seed(0)
    shapes = [(4, 3, 2, 2), (1, 1, 3, 3), (5,), (6,), (7,)]
    trained = [nn.Parameter(torch.rand(shape, generator=random, dtype=torch.float64) - 0.5) for shape in shapes]
    trained[0] = nn.Parameter(trained[0].detach().contiguous(memory_format=torch.channels_last))
    trained[2].data.zero_()
    step = SimpleNamespace(trained=trained, loss=sum((i * w).sum() for i, w in enumerate(trained[:4])))
    plain = [w.detach().clone().requires_grad_() for w in trained]
    expected = sum((i * w).sum() for i, w in enumerate(plain[:4])) + 0.3 * sum(w.norm() for w in plain)
    expected.backward()

    method = CLR(penalty=0.3)
    method.before_training_exp(step)
    method.before_backward(step)
    torch.testing.assert_close(step.loss.detach(), expected.detach(), rtol=1e-12, atol=0)
    step.loss.backward()
    assert trained[4].grad is None
    method.after_backward(step)
    for live, one in zip(trained, plain, strict=True):
        torch.testing.assert_close(live.grad, one.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("file", ["mobilenet_v2", "squeezenet1_1"])
def test_works_on_real_backbones_of_other_kinds(shared_data: Path, file: str) -> None:
    """Depthwise convolutions, and a network without batch normalisation."""
    network = backbones.get(file)(weights=str(shared_data / "backbones" / f"{file}.pth")).network()
    cell = Cell(network, CLR, 5, 0, torch.device("cpu"))
    parts = prepare(cell, 1).parts
    kernels = [name for name in parts if name.endswith("clr.weight")]
    wide = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert len(kernels) == len(wide) > 0
    assert ("running_mean" in str(parts)) == (file == "mobilenet_v2")


class Blocks(nn.Module):
    """A transformer with 3 x 3 patches of an image of 6x6, tokens of 4, and two blocks.

    Args:
        others: how many tokens come before the patches.
        says: what the network says about it, as timm's do; None for nothing.
    """

    def __init__(self, others: int = 2, says: int | None = None) -> None:
        super().__init__()
        if says is not None:
            self.num_prefix_tokens = says
        self.patches = nn.Conv2d(3, 4, 2, 2)
        self.own = nn.Parameter(torch.randn(1, others, 4))
        self.blocks = nn.Sequential(*(EncoderBlock(2, 4, 8, 0.0, 0.0) for _ in range(2)))
        self.norm = nn.LayerNorm(4)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.own.expand(len(images), -1, 4), patches], 1)
        return self.norm(self.blocks(x)).flatten(1)


def moved_by_hand(w: Tensor, block: nn.Module, inputs: Any, x: Tensor) -> Tensor:
    grid = F.pad(x[:, -9:].reshape(-1, 3, 3, 4), (0, 0, 1, 1, 1, 1))
    moved = [grid[:, u : u + 3, v : v + 3] * w[:, 0, u, v] for u in range(3) for v in range(3)]
    return torch.cat([x[:, :-9], torch.stack(moved).sum(0).flatten(1, 2)], 1)


@pytest.mark.parametrize(
    ("method", "others", "says"),
    [
        (CLR, 2, None),
        (CLRFull, 2, None),
        (CLRMixed, 2, 2),
        # More than two for each row of the grid, as a class token and registers may be.
        (CLR, 7, 7),
        # Class tokens that come in after these blocks.
        (CLR, 0, 1),
        (CLR, 0, 9),
    ],
)
def test_tokens_of_a_transformer(method: type[CLR], others: int, says: int | None) -> None:
    """Each patch becomes the weighted sum of its neighbours, channel by channel; the class tokens pass."""
    torch.manual_seed(0)
    network = Network(Blocks(others, says), 4 * (9 + others), (0.5,) * 3, (0.25,) * 3).double()
    plain = copy.deepcopy(network)
    bench = prepare(Cell(network, method, 2, 0, torch.device("cpu")), 1)
    kernels = [module for module in bench.network.modules() if isinstance(module, ReprogrammingKernel)]
    assert len(kernels) == 2, "one after each block, and none after the convolution"
    for kernel in kernels:
        assert kernel.weight.shape == (4, 1, 3, 3)
        kernel.weight.data += 0.3 * torch.randn_like(kernel.weight)
    found = [kernel.weight.detach().clone().requires_grad_() for kernel in kernels]
    for block, weight in zip(plain.backbone.blocks, found, strict=True):
        block.register_forward_hook(partial(moved_by_hand, weight))
    images = torch.randint(0, 256, (4, 3, 6, 6), dtype=torch.uint8)
    features, expected = bench.network.features(images), plain.features(images)
    torch.testing.assert_close(features, expected, rtol=1e-10, atol=1e-12)
    direction = torch.randn_like(expected)
    (features * direction).sum().backward()
    (expected * direction).sum().backward()
    for kernel, own in zip(kernels, found, strict=True):
        torch.testing.assert_close(kernel.weight.grad, own.grad, rtol=1e-9, atol=1e-12)
    norms = {name for name in bench.parts if "norm." in name or ".ln_" in name}
    assert {name for name, part in bench.parts.items() if part == "task"} == norms | {
        f"backbone.blocks.{i}.clr.weight" for i in range(2)
    }


@pytest.mark.parametrize(
    ("build", "first", "shape", "channels"),
    [
        (swin_t, "features.1.0", (2, 8, 8, 96), -1),
        (maxvit_t, "blocks.0.layers.0.layers.window_attention", (1, 64, 56, 56), 1),
    ],
    ids=["swin", "maxvit"],
)
def test_a_grid_of_tokens(build: Any, first: str, shape: tuple[int, ...], channels: int) -> None:
    """A kernel of ones in one channel adds up the neighbours there, whichever dimension the channels are in."""
    torch.manual_seed(0)
    network = build().double().eval()
    block = network.get_submodule(first)
    x = torch.randn(shape, dtype=torch.float64)
    plain = block(x).movedim(channels, 1)
    CLR().adapt(network)
    torch.testing.assert_close(block(x).movedim(channels, 1), plain)
    block.clr.weight.data[5] = 1
    changed = block(x).movedim(channels, 1)
    expected = plain.clone()
    expected[:, 5] = 9 * F.avg_pool2d(plain[:, 5:6], 3, 1, 1)[:, 0]
    torch.testing.assert_close(changed, expected)
