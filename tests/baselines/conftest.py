"""What the tests of baselines share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer, get_model

from baselines.shared.memory import Memory
from benchmark.checks.tiny import three_tasks
from benchmark.config import Settings
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.planning.estimate import StreamShape, simulate
from benchmark.storage.records import Records
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.configured import configure
from methods.network import Network
from methods.scenarios import Scenario


@pytest.fixture
def states() -> Callable[..., list[State]]:
    """states(cell, tasks) -> the state after each task, of one epoch in batches of 8 by the method's own recipe."""

    def fold(cell: Cell, tasks: tuple[Task, ...], training: Training | None = None) -> list[State]:
        training = training or Training(cell.make_method().recipe, epochs=1, batch_size=8)
        found = [start(cell)]
        for task in tasks:
            found.append(learn(cell, found[-1], task, training).state)
        return found[1:]

    return fold


@pytest.fixture
def learn_frozen(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_network: Network
) -> Callable[..., tuple[Cell, tuple[Task, ...], list[State]]]:
    """learn_frozen("ncm", "class") -> the cell, its three tasks and the states after them, in double precision."""

    def fold(spec: str, scenario: Scenario) -> tuple[Cell, tuple[Task, ...], list[State]]:
        tasks = three_tasks(scenario)
        widths = tuple(len(task.classes) for task in tasks)
        cell = make_cell(spec, tiny_network.double())
        cell = replace(cell, scenario=scenario, widths=widths, most_classes=max(widths))
        return cell, tasks, states(cell, tasks)

    return fold


@pytest.fixture(scope="session")
def vit_b_16() -> Network:
    """ViT-B/16 for images of 224x224, without values: 12 blocks, D = 768."""
    with torch.device("meta"):
        backbone = get_model("vit_b_16", weights=None)
    backbone.heads = nn.Identity()
    return Network(backbone, 768, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).to("meta")


@pytest.fixture
def costs_on_vit(vit_b_16: Network) -> Callable[..., Records]:
    """costs_on_vit("slca", StreamShape(...)) -> what a run of one epoch would record after each task."""

    def simulated(spec: str, shape: StreamShape, scenario: Scenario = "class") -> Records:
        settings = Settings(methods=(spec,), scenario=scenario, epochs=1)
        return simulate(vit_b_16, configure(spec), settings, shape)

    return simulated


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The samples of every draw from a memory of past images, as they come."""
    draw, samples = Memory.draw, []

    def record(*args: Any) -> dict[str, Tensor]:
        samples.append(draw(*args))
        return samples[-1]

    monkeypatch.setattr(Memory, "draw", record)
    return samples


@pytest.fixture
def mixed_network() -> Network:
    """In double precision: 24 channels with batch normalisation that is no identity; 6 with a bias, without it."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(24)
    norm.num_batches_tracked = None
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(tensor, 0.5, 1.5)
    backbone = nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1, bias=False),
        norm,
        nn.ReLU(),
        nn.Conv2d(24, 6, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return Network(backbone, 6, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).double()


@pytest.fixture
def assert_computes() -> Callable[[Network, Callable[[Tensor, dict[str, Tensor]], Tensor]], set[str]]:
    """assert_computes(network, formula) -> names of what is trained, after a comparison with all tensors changed.

    `formula` gives the features of normalised images from the backbone's tensors by their names. The network must give
    the same, and the same gradients.
    """

    def check(network: Network, formula: Callable[[Tensor, dict[str, Tensor]], Tensor]) -> set[str]:
        torch.manual_seed(1)
        for _, _, tensor in network.tensors():
            tensor.data += 0.2 * torch.rand_like(tensor)
        trained = {name: p for name, p in network.backbone.named_parameters() if p.requires_grad}
        tensors = {name: tensor.detach().clone() for name, tensor in network.backbone.state_dict().items()}
        for name in trained:
            tensors[name].requires_grad_()
        images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
        expected = formula(images * network.scale + network.shift, tensors)
        features = network.features(images)
        torch.testing.assert_close(features, expected, rtol=1e-10, atol=1e-12)
        direction = torch.rand_like(expected)
        (features * direction).sum().backward()
        (expected * direction).sum().backward()
        for name, parameter in trained.items():
            torch.testing.assert_close(parameter.grad, tensors[name].grad, rtol=1e-8, atol=1e-12, msg=name)
        return set(trained)

    return check


class PlainViT:
    """torchvision's VisionTransformer, written anew with plain functions: features of normalised images.

    Args:
        tensors: the tensors of the backbone by their names.
        heads: of the attention.
    """

    def __init__(self, tensors: dict[str, Tensor], heads: int = 2):
        self.t, self.heads = tensors, heads
        self.blocks = sum(name.endswith("self_attention.out_proj.bias") for name in tensors)

    def features(self, images: Tensor) -> Tensor:
        x = torch.cat([self.t["class_token"].expand(len(images), 1, -1), self.patches(images)], 1)
        x = x + self.t["encoder.pos_embedding"]
        for i in range(self.blocks):
            x = self.block(f"encoder.layers.encoder_layer_{i}", x)
        return self.norm("encoder.ln", x)[:, 0]

    def patches(self, images: Tensor) -> Tensor:
        weight = self.t["conv_proj.weight"]
        grid = F.conv2d(images, weight, self.t["conv_proj.bias"], stride=weight.shape[-1])
        return grid.flatten(2).transpose(1, 2)

    def block(self, name: str, x: Tensor) -> Tensor:
        x = x + self.attention(f"{name}.self_attention", self.norm(f"{name}.ln_1", x))
        return self.beside(name, x) + self.mlp(f"{name}.mlp", self.norm(f"{name}.ln_2", x))

    def beside(self, name: str, x: Tensor) -> Tensor:
        """What is added to the output of the perceptron."""
        return x

    def norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        normed = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return normed * self.t[f"{name}.weight"] + self.t[f"{name}.bias"]

    def attention(self, name: str, x: Tensor) -> Tensor:
        queries, keys, values = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.linear(name, x, "in_proj_weight", "in_proj_bias").chunk(3, -1)
        )
        scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        return self.linear(f"{name}.out_proj", (weights @ values).transpose(1, 2).flatten(-2))

    def mlp(self, name: str, x: Tensor) -> Tensor:
        h = self.linear(f"{name}.0", x)
        return self.linear(f"{name}.3", h * 0.5 * (1 + torch.erf(h / 2**0.5)))

    def linear(self, name: str, x: Tensor, weight: str = "weight", bias: str = "bias") -> Tensor:
        return x @ self.t[f"{name}.{weight}"].T + self.t[f"{name}.{bias}"]


@pytest.fixture
def plain_vit() -> type[PlainViT]:
    return PlainViT


@pytest.fixture
def vit() -> Network:
    """A transformer for images of 8x8 in double precision: 4 patches, 3 blocks, 2 heads, tokens of 8."""
    torch.manual_seed(0)
    backbone = VisionTransformer(8, 4, num_layers=3, num_heads=2, hidden_dim=8, mlp_dim=12)
    backbone.heads = nn.Identity()
    return Network(backbone, 8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).double()


@pytest.fixture
def vit_network() -> Network:
    """A vision transformer in double precision: 4 patches of 8x8 images, 5 blocks, 2 heads, tokens of length 8."""
    torch.manual_seed(0)
    vit = VisionTransformer(image_size=8, patch_size=4, num_layers=5, num_heads=2, hidden_dim=8, mlp_dim=12)
    vit.heads = nn.Flatten(1)
    for parameter in vit.parameters():
        # Torchvision starts with zeros at many places.
        parameter.data += 0.3 * torch.randn_like(parameter)
    return Network(vit, 8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).double()


class PromptedViT(PlainViT):
    """With tokens between the class token and the patches, and further keys and values in some blocks.

    Args:
        tensors: the tensors of the backbone by their names.
        more: the tokens [N, R, D].
        prefixes: the number of a block -> keys and values [N, R, D].
    """

    def __init__(self, tensors: dict[str, Tensor], more: Tensor | None, prefixes: dict[int, tuple[Tensor, Tensor]]):
        super().__init__(tensors)
        self.more, self.prefixes = more, prefixes

    def tokens(self, images: Tensor) -> Tensor:
        x = torch.cat([self.t["class_token"].expand(len(images), 1, -1), self.patches(images)], 1)
        x = x + self.t["encoder.pos_embedding"]
        if self.more is not None:
            x = torch.cat([x[:, :1], self.more, x[:, 1:]], 1)
        for i in range(self.blocks):
            x = self.block(f"encoder.layers.encoder_layer_{i}", x)
        return self.norm("encoder.ln", x)

    def attention(self, name: str, x: Tensor) -> Tensor:
        prefix = self.prefixes.get(int(name.split(".")[2].rpartition("_")[2]))
        if prefix is None:
            return super().attention(name, x)
        q, k, v = self.linear(name, x, "in_proj_weight", "in_proj_bias").chunk(3, -1)
        k, v = (torch.cat([more, own], 1) for more, own in zip(prefix, (k, v), strict=True))
        heads, size = [], x.shape[-1] // self.heads
        for own in (slice(head * size, (head + 1) * size) for head in range(self.heads)):
            heads.append((q[..., own] @ k[..., own].mT / size**0.5).softmax(-1) @ v[..., own])
        return self.linear(f"{name}.out_proj", torch.cat(heads, -1))


@pytest.fixture
def vit_tokens(vit_network: Network) -> Callable[..., Tensor]:
    """vit_tokens(images, tokens, prefixes) -> the tokens of `vit_network` after the last norm [N, L, 8]."""

    def forward(
        images: Tensor, tokens: Tensor | None = None, prefixes: dict[int, tuple[Tensor, Tensor]] | None = None
    ) -> Tensor:
        tensors = {name: p.detach() for name, p in vit_network.backbone.named_parameters()}
        return PromptedViT(tensors, tokens, prefixes or {}).tokens(images * vit_network.scale + vit_network.shift)

    return forward


@dataclass(frozen=True)
class SecondTask:
    """What a method makes of the second of three tasks, whose classes compete, in three steps.

    Attributes:
        cell: the cell, on `vit_network`.
        tasks: its tasks.
        before: the state after the first task.
        initial: the tensors with which the second task's training begins, by their last names.
        after: the state after the second task, which was learned in three steps of all of its images.
    """

    cell: Cell
    tasks: tuple[Task, ...]
    before: State
    initial: dict[str, Tensor]
    after: State

    def assert_learned(self, trained: Sequence[str], loss: Callable[[dict[str, Tensor]], Tensor], clip: float) -> None:
        """Check that `after` is what three steps of Adam make of `initial`.

        Args:
            trained: the names of what is trained beside the head.
            loss: the loss by the definition, from tensors by name.
            clip: the largest length of a gradient; 0 for no limit.
        """
        tensors = {name: tensor.clone() for name, tensor in self.initial.items()}
        parameters = [tensors[name].requires_grad_() for name in (*trained, "shared.weight", "shared.bias")]
        optimizer = torch.optim.Adam(parameters, lr=0.02)
        for _ in range(3):
            optimizer.zero_grad()
            loss(tensors).backward()
            if clip:
                nn.utils.clip_grad_norm_(parameters, clip)
            optimizer.step()
        found = by_last_names(self.after)
        assert found.keys() == tensors.keys()
        for name, tensor in tensors.items():
            torch.testing.assert_close(found[name], tensor.detach(), rtol=1e-6, atol=1e-9, msg=name)
            assert torch.equal(found[name], self.initial[name]) == (tensor not in set(parameters)), name


def by_last_names(state: State) -> dict[str, Tensor]:
    """The shared tensors by the last parts of their names, as "keys.2"; those of the head are "shared.weight" too."""
    return {re.sub(r"^.*(prompts|heads)\.", "", name): tensor for name, tensor in state.shared.items()}


@pytest.fixture
def second_task(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], vit_network: Network
) -> Callable[[str], SecondTask]:
    """second_task("l2p") -> what the method makes of the second of three tasks."""

    def make(spec: str) -> SecondTask:
        tasks = three_tasks("class")
        widths = tuple(len(task.classes) for task in tasks)
        cell = replace(make_cell(spec, vit_network), scenario="class", widths=widths, most_classes=max(widths))
        before = states(cell, tasks[:1])[0]
        recipe = replace(cell.make_method().recipe, lr=0.02, schedule="constant")
        training = Training(recipe, epochs=3, batch_size=len(tasks[1].train))
        # A rate so small that nothing changes shows where the training begins.
        still = replace(training, epochs=1, recipe=replace(recipe, lr=1e-300))
        initial = by_last_names(learn(cell, before, tasks[1], still).state)
        return SecondTask(cell, tasks, before, initial, learn(cell, before, tasks[1], training).state)

    return make
