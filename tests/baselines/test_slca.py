"""The slow learner with classifier alignment, against its formulas in double precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines.shared.gaussians import factors, fitted
from baselines.slca import SLCA
from benchmark.checks.tiny import three_tasks
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.planning.estimate import StreamShape
from benchmark.storage.records import Records
from benchmark.storage.state import State
from methods.network import Network

TASKS = three_tasks("class")
# The columns of the tasks' classes.
COLUMNS = (range(3), range(3, 5), range(5, 9))


@pytest.fixture
def cell(make_cell: Callable[..., Cell], tiny_network: Network) -> Callable[..., Cell]:
    """cell(align=1) -> a cell of slca in the scenario "class", in double precision."""

    def make(**options: object) -> Cell:
        made = make_cell("slca", tiny_network.double(), **options)
        return replace(made, scenario="class", widths=(3, 2, 4))

    return make


def head(state: State) -> Tensor:
    """Weights and biases side by side [classes, D + 1]."""
    return torch.cat([state.shared["heads.shared.weight"], state.shared["heads.shared.bias"][:, None]], 1)


def test_what_is_kept_of_each_class(cell: Callable[..., Cell], states: Callable[..., list[State]]) -> None:
    made = cell(align=0)
    after = states(made, TASKS)
    for number, (task, state, columns) in enumerate(zip(TASKS, after, COLUMNS, strict=True), 1):
        with torch.no_grad():
            features = network_for(made, state, number, len(columns)).features(task.train.images).numpy()
        means, covariances = state.memory["means"].numpy(), state.memory[f"covariances.{number}"].numpy()
        for place, column in enumerate(columns):
            own = features[task.train.labels.numpy() == column]
            np.testing.assert_allclose(means[column], own.mean(0), rtol=1e-10)
            expected = np.cov(own.T) + 1e-4 * np.eye(5)
            np.testing.assert_allclose(covariances[place], expected, rtol=1e-9, atol=1e-13)
    # They stay as they are while the network changes.
    assert after[2].memory["means"][:5].equal(after[1].memory["means"])
    assert after[2].memory["covariances.1"].equal(after[0].memory["covariances.1"])


def test_the_first_step_is_slow_but_for_the_head(cell: Callable[..., Cell]) -> None:
    made, task = cell(slow=0.02), TASKS[0]
    before = start(made)
    recipe = replace(SLCA.recipe, weight_decay=0.25)
    after = learn(made, before, task, Training(recipe, epochs=1, batch_size=len(task.train))).state
    network = made.pristine
    network.eval()
    torch.manual_seed(made.derive(1, "head"))
    linear = nn.Linear(5, 3).double()
    logits = linear(network.features(task.train.images))
    loss = (logits.logsumexp(1) - logits[torch.arange(len(logits)), task.train.labels]).mean()
    loss.backward()
    norms = {name for name, owner, _ in network.tensors() if isinstance(owner, nn.BatchNorm2d)}
    weights = {f"backbone.{name}": p for name, p in network.backbone.named_parameters()}
    for name in weights.keys() - norms:
        expected = weights[name] - 0.01 * 0.02 * (weights[name].grad + 0.25 * weights[name])
        torch.testing.assert_close(after.shared[name], expected.detach(), rtol=1e-10, atol=1e-14)
    assert norms.isdisjoint(after.shared)
    for name, parameter in (("weight", linear.weight), ("bias", linear.bias)):
        expected = parameter - 0.01 * (parameter.grad + 0.25 * parameter)
        torch.testing.assert_close(after.shared[f"heads.shared.{name}"], expected.detach(), rtol=1e-10, atol=1e-14)


def test_new_classes_compete_among_themselves(cell: Callable[..., Cell], states: Callable[..., list[State]]) -> None:
    """The rows of old classes stay as they are, also with weight decay."""
    first, second, _ = states(cell(align=0), TASKS)
    assert head(second)[:3].equal(head(first))


def test_the_alignment(cell: Callable[..., Cell], states: Callable[..., list[State]]) -> None:
    """Two epochs of five batches of 7 samples, by hand: cosine learning rates, momentum, weight decay."""
    made = cell(align=2, samples=7, temperature=0.2)
    _, aligned = states(made, TASKS[:2])
    first, _ = states(made, TASKS[:2])
    # The second task from the aligned state of the first, which has no alignment.
    unaligned = learn(cell(align=0), first, TASKS[1], Training(SLCA.recipe, epochs=1, batch_size=8)).state

    random = torch.Generator().manual_seed(made.derive(2, "method"))
    means = unaligned.memory["means"]
    covariances = [*unaligned.memory["covariances.1"], *unaligned.memory["covariances.2"]]
    roots = [torch.from_numpy(np.linalg.cholesky(covariance.numpy())) for covariance in covariances]
    weights, velocity = head(unaligned).requires_grad_(), 0.0
    for lr in (0.01, 0.005):
        normal = torch.randn(5, 7, 5, generator=random).double()
        rows = []
        for c in range(5):
            share = 0.95 if c < 3 else 1.0
            rows += [share * means[c] + roots[c] @ z for z in normal[c]]
        order = torch.randperm(35, generator=random).tolist()
        for batch in range(5):
            loss = torch.zeros(())
            for i in order[7 * batch : 7 * batch + 7]:
                logits = weights[:, :5] @ rows[i] + weights[:, 5]
                norm = (logits[:3].square().sum().sqrt() + logits[3:].square().sum().sqrt()) / 2 + 1e-7
                loss = loss - (logits / norm / 0.2).log_softmax(0)[i // 7] / 7
            (gradient,) = torch.autograd.grad(loss, weights)
            velocity = 0.9 * velocity + gradient + 5e-4 * weights.detach()
            weights = (weights - lr * velocity).detach().requires_grad_()
    torch.testing.assert_close(head(aligned), weights.detach(), rtol=1e-9, atol=1e-12)
    assert not torch.allclose(head(aligned), head(unaligned))


def test_the_next_task_goes_on_with_the_head_before_the_alignment(
    cell: Callable[..., Cell], states: Callable[..., list[State]]
) -> None:
    """What the alignment did is forgotten when a new task begins: so no task is learned differently because of it."""
    aligned, unaligned = states(cell(), TASKS), states(cell(align=0), TASKS)
    for with_, without in zip(aligned, unaligned, strict=True):
        assert {*without.shared} == {*with_.shared}
        for name in without.shared:
            assert with_.shared[name].equal(without.shared[name]) == (with_.learned == 1 or "head" not in name)
    for name in ("weight", "bias"):
        assert aligned[2].memory[f"unaligned.{name}"].equal(unaligned[2].shared[f"heads.shared.{name}"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("length", [1e-3, 1.0, 1e3])
def test_fewer_images_than_features(length: float, dtype: torch.dtype) -> None:
    """The covariance of 3 images with 40 features has rank 2, and that of one image is 0: both have a factor."""
    torch.manual_seed(0)
    like = torch.zeros((), dtype=dtype)
    for count in (0, 1, 3):
        mean, covariance = fitted(length * torch.rand(count, 40, dtype=dtype), like)
        root = factors([covariance], like)[0]
        assert root.isfinite().all()
        assert mean.isfinite().all()
        scale = covariance.abs().max().item()
        torch.testing.assert_close(root @ root.T, covariance, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("option", ["slow=0", "slow=2", "align=-1", "samples=0", "temperature=0"])
def test_options_without_a_meaning(option: str) -> None:
    name, _, value = option.partition("=")
    with pytest.raises(ValueError, match=name):
        SLCA(**{name: float(value) if name in ("slow", "temperature") else int(value)})


def test_what_it_stores_and_computes_on_vit_b_16(costs_on_vit: Callable[..., Records]) -> None:
    """D + D^2 values a class, D = 768, and from the second task on its unit before the alignment, D + 1.

    Each task passes its images twice: to learn, and for the distributions.
    """
    shape = StreamShape(tasks=2, classes=3, images=4, image_size=224)
    slca, sgd = costs_on_vit("slca", shape), costs_on_vit("sgd", shape)
    for task, (record, plain) in enumerate(zip(slca, sgd, strict=True), 1):
        unit = 768 + 1 if task > 1 else 0
        assert record["bytes"]["memory"] == 3 * task * 4 * (768 + 768**2 + unit)
        assert record["bytes"]["shared"] == plain["bytes"]["shared"]
        classes = 3 * task
        assert record["inference_flops_per_image"] == plain["inference_flops_per_image"]
        backbone = record["inference_flops_per_image"] - 2 * 768 * classes
        distributions = 4 * (backbone + 2 * 768**2)
        rows = 5 * 256 * classes
        # From the second task on: Cholesky factors, samples, and the head's forward pass and gradient.
        alignment = classes * (768**3 // 3) + rows * 2 * (768**2 + 2 * 768 * classes) if task > 1 else 0
        assert record["training_flops"] == plain["training_flops"] + distributions + alignment
