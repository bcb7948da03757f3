"""What SupSup and Piggyback share: gradients straight through a mask, and masks stored as bits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from baselines.piggyback import Piggyback
from baselines.shared.masks import Mask
from baselines.shared.per_task import PerTask
from baselines.supsup import SupSup
from benchmark.backbones import backbones
from benchmark.learning.evaluation import evaluate, network_for
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.training import Training
from benchmark.storage.state import tensor_bytes
from benchmark.streams.base import Task
from methods import methods
from methods.heads import is_head
from methods.network import Network

CONVS = ("0", "3")  # of TinyBackbone


def largest_half(scores: Tensor) -> Tensor:
    """SupSup's mask by sorting: 1 for the half of the weights with the largest |score|."""
    order = scores.abs().flatten().argsort(descending=True)
    mask = torch.zeros(scores.numel(), dtype=scores.dtype)
    mask[order[: round(scores.numel() / 2)]] = 1
    return mask.view_as(scores)


def above_threshold(scores: Tensor) -> Tensor:
    return torch.where(scores > 5e-3, 1.0, 0.0).to(scores)


@pytest.mark.parametrize(
    ("method", "mask_of", "slope"),
    [(SupSup(init="pretrained"), largest_half, torch.sign), (Piggyback(), above_threshold, torch.ones_like)],
)
def test_gradient_of_the_scores_goes_straight_through_the_mask(
    method: PerTask,
    mask_of: Callable[[Tensor], Tensor],
    slope: Callable[[Tensor], Tensor],
    tiny_network: Network,
) -> None:
    """dL/ds = dL/dV * W * slope(s), where V = W * mask(s) is the weight of a plain network."""
    plain = tiny_network.double().backbone
    masked = copy.deepcopy(tiny_network)
    method.task, method.generator = 1, torch.Generator().manual_seed(0)
    method.adapt(masked)
    scores = {key: masked.backbone.get_submodule(key).parametrizations.weight[0].scores for key in CONVS}
    for tensor in scores.values():
        nn.init.normal_(tensor, std=0.01)

    weights = {key: plain.get_submodule(key).weight.detach() for key in CONVS}
    visible = {f"{key}.weight": (weights[key] * mask_of(scores[key].detach())).requires_grad_() for key in CONVS}
    for key in CONVS:
        assert torch.equal(masked.backbone.get_submodule(key).weight, visible[f"{key}.weight"])
    images = torch.rand(4, 3, 8, 8, dtype=torch.float64)
    coefficients = torch.rand(4, 5, dtype=torch.float64)
    loss = (functional_call(plain, visible, (images,)) * coefficients).sum()
    gradients = torch.autograd.grad(loss, list(visible.values()))
    (masked.backbone(images) * coefficients).sum().backward()
    # A pass leaves nothing behind, so the network can be copied.
    copy.deepcopy(masked)
    for key, gradient in zip(CONVS, gradients, strict=True):
        expected = gradient * weights[key] * slope(scores[key].detach())
        assert expected[mask_of(scores[key].detach()) == 0].any(), "weights that are masked out have a gradient as well"
        torch.testing.assert_close(scores[key].grad, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["supsup", "piggyback"])
def test_stored_bits_give_the_logits_of_the_trained_scores_bit_for_bit(
    name: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, cls, trained = make_cell(name), methods.get(name), []

    def spy(self: PerTask, strategy: Any, **kwargs: Any) -> None:
        trained.append(copy.deepcopy(strategy.model).eval())

    monkeypatch.setattr(cls, "after_training_exp", spy)
    state = start(cell)
    for task in tiny_tasks[:2]:
        state = learn(cell, state, task, Training(cls.recipe, epochs=3, batch_size=8)).state
    own = {key: tensor for key, tensor in state.tasks[2].items() if key.endswith("scores")}
    assert {key: (tensor.dtype, len(tensor)) for key, tensor in own.items()} == {
        "backbone.0.parametrizations.weight.0.scores": (torch.uint8, 21),  # 6 * 3 * 9 = 162 bits
        "backbone.3.parametrizations.weight.0.scores": (torch.uint8, 4),  # 5 * 6 = 30 bits
    }
    images = tiny_tasks[1].test.images
    with torch.no_grad():
        assert torch.equal(network_for(cell, state, 2, 2)(images), trained[1](images))
    masks = [m.step(m.relevance(m.scores.detach())) for m in trained[1].modules() if isinstance(m, Mask)]
    restored = [m.scores for m in network_for(cell, state, 2, 2).modules() if isinstance(m, Mask)]
    assert all(torch.equal(mask.float(), scores) for mask, scores in zip(masks, restored, strict=True))


@pytest.mark.parametrize("name", ["supsup", "piggyback"])
def test_answers_need_no_step_function_and_training_after_them_does(
    name: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mask restored from its bits is used as it is, until the scores may change."""
    cell, task = make_cell(name), tiny_tasks[0]
    training = Training(methods.get(name).recipe, epochs=1, batch_size=8)
    state = learn(cell, start(cell), task, training).state
    network = network_for(cell, state, 1, 3)
    masks = [module for module in network.modules() if isinstance(module, Mask)]
    steps: list[Mask] = []
    for mask in masks:
        original = mask.step
        monkeypatch.setattr(mask, "step", lambda value, m=mask, f=original: (steps.append(m), f(value))[1])
    answers = evaluate(network, task.test, torch.device("cpu"))
    assert not steps
    with torch.no_grad():
        expected = network(task.test.images).argmax(1)
    assert answers.classes.tolist() == expected.tolist()
    assert not steps
    network.train().features(task.test.images).sum().backward()
    assert steps == masks
    for mask in masks:
        mask.scores.data = torch.randn_like(mask.scores)
    with torch.no_grad():
        seen = network.backbone[0].weight
    original = network.backbone[0].parametrizations.weight.original
    assert torch.equal(seen, original * masks[0].step(masks[0].relevance(masks[0].scores.detach())))


@pytest.mark.parametrize("name", ["supsup", "piggyback"])
def test_a_task_trains_scores_and_never_the_weights(
    name: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    bench = prepare(make_cell(name), 1)
    trained = {key for key, _ in bench.trainable() if not is_head(key)}
    scores = {f"backbone.{key}.parametrizations.weight.0.scores" for key in CONVS}
    affine = {f"backbone.{i}.{tensor}" for i in (1, 4) for tensor in ("weight", "bias")}
    assert trained == scores | (affine if name == "piggyback" else set())


@pytest.mark.parametrize(
    ("method", "values"),
    [
        (SupSup, 2 * 4_800),
        (Piggyback, 4 * 4_800),
        (lambda: Piggyback(bn="frozen"), 0),
    ],
)
def test_a_task_costs_a_bit_a_weight_beside_batch_normalisation(method: Callable[[], PerTask], values: int) -> None:
    """ResNet-18 has 11,166,912 convolution weights and 4,800 channels: 348,966 float32-equivalents are bits."""
    with torch.device("meta"):
        network = backbones.get("resnet18")().network(weights=False)
    task = prepare(Cell(network, method, 10, 0, torch.device("meta")), 2).take("task")
    assert tensor_bytes(task) / 4 == 348_966 + values
