"""HAT against the paper's formulas in double precision, and what it protects."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small

from baselines.hat import HAT, Gate
from baselines.shared.gates import Gates
from benchmark.backbones.mini.network import MiniResNet
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.network import Network
from methods.recipe import Recipe

IMAGES = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
GATES = ("backbone.1.hat.embedding", "backbone.4.hat.embedding")


def double(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Step:
    """One training step of HAT on the tiny network, in double precision, taken hook by hook."""

    def __init__(self, network: Network, used: Tensor | None = None, s: float = 400.0, **options: float):
        self.method = HAT(**options)
        self.method.task, self.method.generator = 2, torch.Generator().manual_seed(0)
        self.method.kept = {} if used is None else {"used": used}
        self.network = network.double().eval()
        self.method.adapt(self.network)
        self.gates = [module for module in self.network.modules() if isinstance(module, Gate)]
        data = SimpleNamespace(images=IMAGES)
        self.strategy = SimpleNamespace(model=self.network, task_data=data, loss=torch.zeros(1, dtype=torch.float64))
        self.method.before_training_exp(self.strategy)
        self.method.set_slope(s)

    def plain_features(self, a: list[Tensor]) -> Tensor:
        """The definition: convolution, batch normalisation, gate, ReLU."""
        w = dict(self.network.backbone.named_parameters())
        x = self.network.shift + IMAGES * self.network.scale
        for conv, norm, gate in zip("03", "14", a, strict=True):
            x = F.conv2d(x, w[f"{conv}.weight"], padding=1 if conv == "0" else 0)
            x = x / (1 + 1e-5) ** 0.5 * w[f"{norm}.weight"].view(-1, 1, 1) + w[f"{norm}.bias"].view(-1, 1, 1)
            x = (x * gate.view(-1, 1, 1)).relu()
        return x.mean((2, 3))

    def backward(self) -> None:
        self.network.zero_grad()
        (self.network.features(IMAGES) * double(6, 5, seed=3)).sum().backward()


def test_a_gate_follows_each_batch_normalisation(tiny_network: Network) -> None:
    step = Step(tiny_network, s=3.0)
    for gate in step.gates:
        nn.init.normal_(gate.embedding)
    a = [1 / (1 + torch.exp(-3 * gate.embedding)) for gate in step.gates]
    torch.testing.assert_close(step.network.features(IMAGES), step.plain_features(a), rtol=1e-10, atol=1e-12)


def test_all_gates_are_open_at_the_start(make_cell: Callable[..., Cell]) -> None:
    one, two = ([prepare(make_cell("hat"), task).take("task")[name] for name in GATES] for task in (1, 2))
    for embedding in (*one, *two):
        assert ((embedding >= 0) & (embedding < 2)).all()
    assert not torch.equal(one[0], two[0]), "each task draws its own"


def test_weight_gradients_are_multiplied_by_what_was_not_used(tiny_network: Network) -> None:
    """1 - min(a_i, a_j): of the first convolution's inputs everything was used, of the second's the first's gates."""
    first, second = double(6, seed=1), double(5, seed=2)
    step = Step(tiny_network, torch.cat([first, second]))
    step.backward()
    convs = [step.network.backbone[0], step.network.backbone[3]]
    before = [conv.weight.grad.clone() for conv in convs]
    step.method.after_backward(step.strategy)
    for i in range(6):
        torch.testing.assert_close(convs[0].weight.grad[i], before[0][i] * (1 - first[i]))
    for i in range(5):
        for j in range(6):
            factor = 1 - min(second[i].item(), first[j].item())
            torch.testing.assert_close(convs[1].weight.grad[i, j], before[1][i, j] * factor)


def test_bias_gradients_are_multiplied_by_what_the_output_was_not_used() -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    used = double(5, seed=1)
    step = Step(Network(backbone, 5, (0.5,) * 3, (0.25,) * 3), used)
    step.backward()
    before = backbone[0].bias.grad.clone()
    step.method.after_backward(step.strategy)
    torch.testing.assert_close(backbone[0].bias.grad, before * (1 - used))


@pytest.mark.parametrize("s", [1 / 400, 2.0, 37.0, 400.0])
def test_embedding_gradients_are_compensated(s: float, tiny_network: Network) -> None:
    """q' = q smax (cosh(s e) + 1) / (s (cosh(e) + 1)), |s e| at most 50, where q = dL/da s / (2 cosh(s e) + 2)."""
    step = Step(tiny_network, s=s)
    for number, gate in enumerate(step.gates):
        gate.embedding.data = 4 * double(len(gate.embedding), seed=number) - 2
    e = [gate.embedding.detach() for gate in step.gates]
    a = [torch.sigmoid(s * value).requires_grad_() for value in e]
    (step.plain_features(a) * double(6, 5, seed=3)).sum().backward()
    step.backward()
    step.method.after_backward(step.strategy)
    for gate, value, opening in zip(step.gates, e, a, strict=True):
        q = opening.grad * s / (2 * torch.cosh(s * value) + 2)
        expected = q * 400 * (torch.cosh((s * value).clamp(-50, 50)) + 1) / (s * (torch.cosh(value) + 1))
        torch.testing.assert_close(gate.embedding.grad, expected, rtol=1e-7, atol=1e-300)
        assert expected.any()


def test_open_gates_get_a_gradient_in_single_precision() -> None:
    """s e = 40: the gate is 1 to the last bit; q is exp(-40) to five digits and more."""
    gate = Gate(1, torch.Generator())
    gate.embedding.data.fill_(1)
    gates = Gates([gate], 40.0)
    gates.values().backward()
    assert gates.values().item() == 1
    assert gate.embedding.grad.item() == pytest.approx(40 * 4.248354e-18, rel=1e-4)


def test_the_penalty_is_the_share_of_unused_channels_that_are_open(tiny_network: Network) -> None:
    used = torch.cat([double(6, seed=1), double(5, seed=2)])
    step = Step(tiny_network, used, s=2.0, strength=3.0)
    a = torch.cat([torch.sigmoid(2 * gate.embedding) for gate in step.gates])
    step.method.before_backward(step.strategy)
    expected = sum(a[i] * (1 - used[i]) for i in range(11)) / sum(1 - used[i] for i in range(11))
    torch.testing.assert_close(step.strategy.loss, 3.0 * expected[None], rtol=1e-12, atol=0)


def test_the_penalty_vanishes_when_everything_is_used(tiny_network: Network) -> None:
    step = Step(tiny_network, torch.ones(11, dtype=torch.float64))
    step.method.before_backward(step.strategy)
    assert step.strategy.loss.item() == 0


def test_a_copy_of_the_network_has_gates_of_its_own(tiny_network: Network) -> None:
    """Also one that is made after a pass in training."""
    step = Step(tiny_network, s=3.0)
    step.backward()
    twin = copy.deepcopy(step.network)
    before = step.network.features(IMAGES)
    assert torch.equal(twin.features(IMAGES), before)
    for name, parameter in twin.named_parameters():
        if name.endswith("embedding"):
            parameter.data -= 1
    a = [torch.sigmoid(3 * (gate.embedding - 1)) for gate in step.gates]
    torch.testing.assert_close(twin.features(IMAGES), step.plain_features(a), rtol=1e-10, atol=1e-12)
    assert torch.equal(step.network.features(IMAGES), before)


def test_a_gate_that_the_loss_does_not_depend_on(tiny_network: Network) -> None:
    step = Step(tiny_network, s=3.0)
    step.backward()
    before = step.gates[1].embedding.grad.clone()
    step.gates[0].embedding.grad = None
    step.method.after_backward(step.strategy)
    assert step.gates[0].embedding.grad is None
    assert not torch.equal(step.gates[1].embedding.grad, before)


@pytest.fixture
def slopes(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The slope of the gates in each training step."""
    seen, original = [], HAT.before_backward

    def spy(self: HAT, strategy: SimpleNamespace, **kwargs: object) -> None:
        seen.append(self.gates.s)
        original(self, strategy, **kwargs)

    monkeypatch.setattr(HAT, "before_backward", spy)
    return seen


@pytest.mark.parametrize(
    ("batch", "expected"), [(8, [0.0025, 100.001875, 200.00125, 300.000625, 400]), (20, [0.0025, 400]), (40, [400])]
)
def test_the_slope_rises_in_each_epoch(
    batch: int, expected: list[float], slopes: list[float], make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """From 1/400 to 400 in equal steps over 40 images."""
    cell = make_cell("hat")
    learn(cell, start(cell), tiny_tasks[0], Training(HAT.recipe, epochs=2, batch_size=batch))
    assert slopes == pytest.approx(2 * expected)


def test_keeps_the_most_that_any_task_used(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], states: Callable[..., list[State]]
) -> None:
    cell = make_cell("hat")
    # With a larger rate all tasks end with the same gates: those of earlier tasks cost nothing.
    training = Training(Recipe(lr=0.1, clip=1.0, schedule="constant"), epochs=4, batch_size=8)
    after = states(cell, tiny_tasks, training)
    a = [torch.cat([torch.sigmoid(400 * after[-1].tasks[t][name]) for name in GATES]) for t in (1, 2, 3)]
    assert not torch.equal(a[0], a[1])
    for number, state in enumerate(after, 1):
        torch.testing.assert_close(state.memory["used"], torch.stack(a[:number]).amax(0))
        assert state.memory.keys() == {"used"}


def test_embeddings_stay_within_six(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], states: Callable[..., list[State]]
) -> None:
    training = Training(replace(HAT.recipe, lr=1e3, clip=0.0), epochs=1, batch_size=8)
    own = states(make_cell("hat", strength=100.0), tiny_tasks[:1], training)[0].tasks[1]
    assert max(own[name].abs().max() for name in GATES) == 6


def test_weights_between_used_channels_do_not_move(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], states: Callable[..., list[State]]
) -> None:
    """Not by one bit, momentum and all; every other weight does."""
    cell = make_cell("hat")
    one = states(cell, tiny_tasks[:1])[0]
    used = torch.tensor([1.0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0])
    training = Training(replace(HAT.recipe, clip=0.0), epochs=3, batch_size=8)
    two = learn(cell, replace(one, memory={"used": used}), tiny_tasks[1], training).state
    first, second = (one.shared[f"backbone.{i}.weight"] == two.shared[f"backbone.{i}.weight"] for i in (0, 3))
    assert torch.equal(first.flatten(1).all(1), used[:6].bool())
    assert torch.equal(second.flatten(1), torch.outer(used[6:], used[:6]).bool())


@pytest.mark.parametrize("build", [MiniResNet, mobilenet_v3_small], ids=lambda build: build.__name__)
def test_gates_that_are_exactly_open_or_closed_isolate_exactly(build: Callable[[], nn.Module]) -> None:
    """Through skip connections, depthwise convolutions, and squeeze and excitation: what an earlier task computes does
    not depend on any weight that may still move."""
    torch.manual_seed(0)
    backbone = build()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.3)
    used = torch.randint(0, 2, (sum(c.out_channels for c in backbone.modules() if isinstance(c, nn.Conv2d)),)).double()
    step = Step(Network(backbone, 128, (0.5,) * 3, (0.25,) * 3), used)
    for gate, open_ in zip(step.gates, used.split([len(gate.embedding) for gate in step.gates]), strict=True):
        gate.embedding.data = 12 * open_ - 6
    before = step.network.features(IMAGES)
    free = {parameter: factor for parameter, factor in step.method.factors.items() if factor.any()}
    assert len(free) == len(step.method.factors)
    for parameter, factor in free.items():
        parameter.data += factor * torch.randn_like(parameter)
    assert torch.equal(step.network.features(IMAGES), before)
    for parameter in free:
        parameter.data += 1e-3 * torch.randn_like(parameter)
    assert not torch.equal(step.network.features(IMAGES), before)


def test_what_cannot_be_protected_is_frozen() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    backbone.append(nn.Linear(4, 5))
    network = Network(backbone, 5, (0.5,) * 3, (0.25,) * 3)
    parts = prepare(Cell(network, HAT, 2, 0, torch.device("cpu")), 1).parts
    assert {name for name, part in parts.items() if part == "shared"} == {"backbone.0.weight", "backbone.0.bias"}
    assert {name for name, part in parts.items() if part == "task"} == {"backbone.0.hat.embedding"}


@pytest.mark.parametrize(("bn", "count"), [("per-task", 5 * 11), ("frozen", 11)])
def test_values_of_a_task(bn: str, count: int, make_cell: Callable[..., Cell]) -> None:
    """An embedding per channel, beside batch normalisation."""
    task = prepare(make_cell("hat", bn=bn), 1).take("task")
    assert sum(tensor.numel() for tensor in task.values()) == count


@pytest.mark.parametrize(
    ("options", "message"),
    [({"strength": -1.0}, "strength=-1 must not be negative"), ({"smax": 0.5}, "smax=0.5 must be at least 1")],
)
def test_bad_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HAT(**options)
