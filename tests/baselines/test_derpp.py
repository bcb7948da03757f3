"""Dark experience replay against its definition: the loss, the logits it stores, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy, mse_loss

from baselines.derpp import DERpp
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Task
from methods.memory import MemorySize
from methods.network import Network

CLASSES = {1: 3, 2: 2, 3: 4}


@pytest.mark.parametrize("size", [None, 20])
def test_loss_in_the_first_step_of_the_third_task(
    size: int | None,
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    drawn: list[dict[str, Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Worked image by image, when heads of 3, 2 and 4 classes exist; no other head's logit counts."""
    hook = DERpp.before_backward
    seen = []

    def spy(self: DERpp, strategy: Any, **kwargs: Any) -> None:
        hook(self, strategy, **kwargs)
        if self.task < 3 or seen:
            return
        network, count = strategy.model, size or 8
        halves = slice(count), slice(count, None)
        first, second = ({name: rows[half] for name, rows in drawn[-1].items()} for half in halves)
        images = torch.cat([strategy.mb_x, first["images"], second["images"]])
        own, *past = network.features(images).split([8, count, count])
        expected = cross_entropy(network.heads(own, "3"), strategy.mb_y)
        for samples, features, weight in ((first, past[0], 0.2), (second, past[1], 0.9)):
            for n, (feature, task) in enumerate(zip(features, samples["tasks"].tolist(), strict=True)):
                logits = network.heads(feature[None], str(task))[0]
                stored = samples["logits"][n, : CLASSES[task]]
                mse = sum((a - b) ** 2 for a, b in zip(logits, stored, strict=True)) / CLASSES[task]
                ce = cross_entropy(logits, samples["labels"][n].long())
                expected = expected + weight / len(features) * (mse if samples is first else ce)
        seen.append((strategy.loss.item(), expected.item(), set(first["tasks"].tolist()), first, second))

    monkeypatch.setattr(DERpp, "before_backward", spy)
    tiny_network.double()
    states(make_cell("derpp", alpha=0.2, beta=0.9, replay_batch=size), tiny_tasks)
    loss, expected, tasks, first, second = seen[0]
    assert loss == pytest.approx(expected, rel=1e-12)
    assert tasks == {1, 2}
    assert len(first["labels"]) == len(second["labels"]) == (size or 8)
    assert not torch.equal(first["images"], second["images"])


def test_stored_logits_are_those_of_the_network_at_the_end_of_the_samples_task(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_tasks: tuple[Task, ...]
) -> None:
    """In evaluation mode, for each sample whenever it is found in the memory; zeros beyond its head's classes."""
    cell = make_cell("derpp", memory=MemorySize(images=30))
    found = states(cell, tiny_tasks)
    answering = {task: network_for(cell, found[task - 1], task, CLASSES[task]) for task in CLASSES}
    for state, widest in zip(found, (3, 3, 4), strict=True):
        logits = state.memory["replay.logits"]
        assert logits.shape == (30, widest)
        assert logits.dtype == torch.float32
        expected = torch.zeros(30, widest)
        for n, task in enumerate(state.memory["replay.tasks"].tolist()):
            image = state.memory["replay.images"][n]
            expected[n, : CLASSES[task]] = answering[task](image[None]).detach()[0]
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("passes", ["joint", "separate"])
def test_costs_three_steps_and_a_forward_pass_over_what_enters(
    passes: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """By hand at 8x8: 64 positions x 6 x 27, whose images need no gradient; 64 x 5 x 6; heads of 5 x classes."""
    cell = make_cell("derpp", memory=MemorySize(images=30), passes=passes)
    state, classes = start(cell), 0
    for number, task in enumerate(tiny_tasks, 1):
        learned = learn(cell, state, task, Training(DERpp.recipe, epochs=2, batch_size=8))
        state, classes = learned.state, classes + len(task.classes)
        entered = int((state.memory["replay.tasks"] == number).sum())
        forward, step = 64 * 6 * 27 + 64 * 5 * 6, 2 * 64 * 6 * 27 + 3 * 64 * 5 * 6
        # All heads answer for each image, in one product.
        images = 1 if number == 1 else 3
        stored = entered * (forward + 5 * len(task.classes))
        assert learned.operations == 2 * (40 * 2 * images * (step + 3 * 5 * classes) + stored)


def separately(network: Network, w: dict[str, Tensor], batches: list[Tensor]) -> list[Tensor]:
    """The features of each batch, normalised by its own mean and variance; the running ones in `w` follow each."""

    def norm(name: str, y: Tensor) -> Tensor:
        mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3), correction=0)
        size = y.numel() / len(mean)
        for running, new in (("running_mean", mean), ("running_var", variance * size / (size - 1))):
            w[f"{name}.{running}"] = 0.9 * w[f"{name}.{running}"] + 0.1 * new.detach()
        normed = (y - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        return (normed * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]).relu()

    features = []
    for images in batches:
        x = norm("1", conv2d(images * network.scale + network.shift, w["0.weight"], padding=1))
        features.append(norm("4", conv2d(x, w["3.weight"])).mean((2, 3)))
    return features


@pytest.mark.parametrize("size", [None, 12])
def test_separate_passes_are_the_original(
    size: int | None,
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    drawn: list[dict[str, Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Batch, batch for the logits, batch for the labels, one after the other: loss, gradients and running statistics.

    In the steps of the second task, in double precision, from the definition, with a head of 3 and one of 2 classes.
    """
    before: list[dict[str, Tensor]] = []
    compared = []

    def begin(self: DERpp, step: Any, **kwargs: Any) -> None:
        before[:] = [{name: tensor.detach().clone() for name, tensor in step.model.backbone.state_dict().items()}]

    def compare(self: DERpp, step: Any, **kwargs: Any) -> None:
        if self.task == 1:
            return
        network, w, rows = step.model, before[0], drawn[-1]
        count = size or 8
        trained = [name for name, _ in network.backbone.named_parameters()]
        for name in trained:
            w[name].requires_grad_()
        weight, bias = (p.detach().clone().requires_grad_() for p in (network.heads.weight, network.heads.bias))
        own, first, second = separately(network, w, [step.images, rows["images"][:count], rows["images"][count:]])
        old, new = (lambda f: f @ weight[:3].T + bias[:3]), (lambda f: f @ weight[3:].T + bias[3:])
        loss = cross_entropy(new(own), step.labels)
        loss = loss + 0.2 * mse_loss(old(first), rows["logits"][:count].to(first))
        loss = loss + 0.9 * cross_entropy(old(second), rows["labels"][count:])
        loss.backward()
        torch.testing.assert_close(step.loss, loss, rtol=1e-10, atol=0)
        tensors = network.backbone.state_dict()
        for name, parameter in network.backbone.named_parameters():
            torch.testing.assert_close(parameter.grad, w[name].grad, rtol=1e-7, atol=1e-12, msg=name)
        for name in tensors.keys() - set(trained):
            torch.testing.assert_close(tensors[name], w[name], rtol=1e-10, atol=0, msg=name)
        torch.testing.assert_close(network.heads.weight.grad, weight.grad, rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(network.heads.bias.grad, bias.grad, rtol=1e-8, atol=1e-12)
        compared.append(loss.item())

    monkeypatch.setattr(DERpp, "before_forward", begin)
    monkeypatch.setattr(DERpp, "after_backward", compare)
    tiny_network.double()
    states(make_cell("derpp", alpha=0.2, beta=0.9, replay_batch=size, passes="separate"), tiny_tasks[:2])
    assert len(compared) == 5


def losses(
    passes: str, bn: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> list[float]:
    seen, hook = [], DERpp.before_backward

    def spy(self: DERpp, step: Any, **kwargs: Any) -> None:
        hook(self, step, **kwargs)
        seen.append(step.loss.item())

    with monkeypatch.context() as patch:
        patch.setattr(DERpp, "before_backward", spy)
        cell = make_cell("derpp", passes=passes, bn=bn)
        state = start(cell)
        for task in tiny_tasks[:2]:
            state = learn(cell, state, task, Training(DERpp.recipe, epochs=1, batch_size=8)).state
    return seen


def test_passes_matter_only_to_batch_normalisation(
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny_network.double()
    rest = make_cell, tiny_tasks, monkeypatch
    assert losses("joint", "frozen", *rest) == pytest.approx(losses("separate", "frozen", *rest), rel=1e-9)
    joint, separate = losses("joint", "shared", *rest), losses("separate", "shared", *rest)
    assert joint[:5] == separate[:5], "the first task has nothing to replay"
    assert joint[5:] != pytest.approx(separate[5:], rel=1e-3)


@pytest.mark.parametrize("options", [{"alpha": -1.0}, {"beta": -1.0}])
def test_bad_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        DERpp(**options)
