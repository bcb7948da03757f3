"""PackNet: what is pruned, who owns and sees which weight, what never changes, and the bits it costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines.packnet import PackNet
from benchmark.backbones import backbones
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.training import Training
from benchmark.storage.state import State, tensor_bytes
from benchmark.streams.base import Task
from methods.heads import is_head
from methods.network import Network
from methods.recipe import Recipe

SHAPES = {"0": (6, 3, 3, 3), "3": (5, 6, 1, 1)}  # of TinyBackbone: 162 and 30 weights
NORMS = {f"backbone.{i}.{name}" for i in (1, 4) for name in ("weight", "bias", "running_mean", "running_var")}
TRAINING = Training(PackNet.recipe, epochs=3, batch_size=8)
ADAM = Recipe(optimizer="adam", lr=0.01, weight_decay=0.1)


def fold(cell: Cell, tasks: tuple[Task, ...], training: Training = TRAINING) -> list[State]:
    """The states after one task, two, ..."""
    states = [start(cell)]
    for task in tasks:
        states.append(learn(cell, states[-1], task, training).state)
    return states[1:]


def weight(state: State, key: str) -> Tensor:
    return state.shared[f"backbone.{key}.parametrizations.weight.original"]


def owner(state: State, key: str) -> Tensor:
    """Read back from the stored bit planes, least significant first."""
    planes = state.shared[f"backbone.{key}.parametrizations.weight.0.owner"].numpy()
    size = math.prod(SHAPES[key])
    bits = np.unpackbits(planes, axis=1, bitorder="little")[:, :size].astype(np.int64)
    return torch.from_numpy((bits << np.arange(len(bits))[:, None]).sum(0)).view(SHAPES[key])


def live(network: nn.Module, key: str) -> tuple[Tensor, Tensor]:
    """A convolution's weights and their owners."""
    layer = network.get_submodule(f"backbone.{key}").parametrizations.weight
    return layer.original, layer[0].owner


def test_owners_partition_the_weights_in_the_shares_that_pruning_leaves(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """Of 162, 121 are pruned; of these 90; of these 67. Of 30: 22, 16, 12."""
    states = fold(make_cell("packnet"), tiny_tasks)
    for state, first, second in zip(
        states, ([121, 41], [90, 41, 31], [67, 41, 31, 23]), ([22, 8], [16, 8, 6], [12, 8, 6, 4]), strict=True
    ):
        assert owner(state, "0").flatten().bincount().tolist() == first
        assert owner(state, "3").flatten().bincount().tolist() == second


def test_a_task_prunes_the_smallest_of_its_free_weights(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = PackNet.prune, []

    def lists(method: PackNet) -> list[tuple[list[float], list[int]]]:
        return [(w.flatten().tolist(), ownership.owner.flatten().tolist()) for w, ownership in method.layers]

    def spy(self: PackNet) -> None:
        before = lists(self)
        original(self)
        seen.extend((self.task, *a, *b) for a, b in zip(before, lists(self), strict=True))

    monkeypatch.setattr(PackNet, "prune", spy)
    fold(make_cell("packnet", pruned=0.6), tiny_tasks)
    assert len(seen) == 3 * 2
    for task, w, owned, pruned_w, pruned_owner in seen:
        free = [i for i in range(len(w)) if owned[i] == task]
        assert all(1 <= owned[i] < task for i in range(len(w)) if i not in free)
        smallest = sorted(free, key=lambda i: abs(w[i]))[: math.floor(0.6 * len(free))]
        assert pruned_w == [0 if i in smallest else w[i] for i in range(len(w))]
        assert pruned_owner == [0 if i in smallest else owned[i] for i in range(len(w))]


@pytest.mark.parametrize(
    ("epochs", "share", "after"), [(1, 0.67, 1), (2, 0.67, 1), (8, 0.67, 5), (8, 0.01, 1), (3, 0.99, 3)]
)
def test_pruning_comes_once_after_a_share_of_the_epochs(
    epochs: int,
    share: float,
    after: int,
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done, pruned = [0], []
    monkeypatch.setattr(PackNet, "before_training_epoch", lambda *args, **kwargs: done.append(done[-1] + 1))
    monkeypatch.setattr(PackNet, "prune", lambda self: pruned.append(done[-1]))
    fold(make_cell("packnet", train_share=share), tiny_tasks[:1], replace(TRAINING, epochs=epochs))
    assert pruned == [after]


def test_until_it_prunes_the_first_task_is_fine_tuning_bit_for_bit(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackNet, "prune", lambda self: None)
    (packnet,), (sgd,) = (fold(make_cell(name), tiny_tasks[:1]) for name in ("packnet", "sgd"))
    assert all(torch.equal(weight(packnet, key), sgd.shared[f"backbone.{key}.weight"]) for key in SHAPES)
    assert all(torch.equal(packnet.shared[name], sgd.shared[name]) for name in NORMS)


@pytest.mark.parametrize("recipe", [PackNet.recipe, replace(PackNet.recipe, weight_decay=0.1), ADAM])
def test_only_the_tasks_own_weights_have_a_gradient_and_move(
    recipe: Recipe, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every step: neither momentum nor weight decay moves others, and those just pruned stay 0."""
    begin, update, steps, last = PackNet.before_training_exp, PackNet.after_update, [0, 0, 0], {}

    def spy_on_begin(self: PackNet, strategy: Any, **kwargs: Any) -> None:
        begin(self, strategy, **kwargs)
        last.update({key: live(strategy.model, key)[0].detach().clone() for key in SHAPES})

    def spy_on_update(self: PackNet, strategy: Any, **kwargs: Any) -> None:
        update(self, strategy, **kwargs)
        steps[self.task - 1] += 1
        for key in SHAPES:
            values, owners = live(strategy.model, key)
            own = owners == self.task
            assert values.grad[~own].eq(0).all()
            assert values.grad[own].ne(0).any()
            assert torch.equal(values[~own], torch.where(owners == 0, 0.0, last[key])[~own])
            assert not torch.equal(values[own], last[key][own])
            last[key] = values.detach().clone()

    monkeypatch.setattr(PackNet, "before_training_exp", spy_on_begin)
    monkeypatch.setattr(PackNet, "after_update", spy_on_update)
    fold(make_cell("packnet"), tiny_tasks, replace(TRAINING, recipe=recipe))
    assert steps == [3 * 5] * 3


def test_a_task_sees_its_own_weights_and_those_of_earlier_tasks(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell = make_cell("packnet")
    state = fold(cell, tiny_tasks)[-1]
    for task, classes in ((1, 3), (2, 2), (3, 4)):
        network = network_for(cell, state, task, classes)
        for key in SHAPES:
            seen = (owner(state, key) >= 1) & (owner(state, key) <= task)
            visible = network.get_submodule(f"backbone.{key}").weight
            assert torch.equal(visible[seen], weight(state, key)[seen])
            assert visible[~seen].eq(0).all()


def test_a_task_starts_as_the_network_of_the_tasks_before(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, found = tiny_tasks[0].test.images, []
    begin = PackNet.before_training_exp

    def spy(self: PackNet, strategy: Any, **kwargs: Any) -> None:
        begin(self, strategy, **kwargs)
        with torch.no_grad():
            found.append(strategy.model.eval().features(images))

    monkeypatch.setattr(PackNet, "before_training_exp", spy)
    cell = make_cell("packnet")
    one, two, _ = fold(cell, tiny_tasks)
    with torch.no_grad():
        assert torch.equal(found[0], cell.pristine.eval().features(images))
        assert torch.equal(found[1], network_for(cell, one, 1, 3).features(images))
        assert torch.equal(found[2], network_for(cell, two, 2, 2).features(images))


@pytest.mark.parametrize("bn", ["first-task", "per-task"])
@pytest.mark.parametrize("recipe", [PackNet.recipe, ADAM])
def test_earlier_tasks_answer_the_same_bit_for_bit(
    bn: str, recipe: Recipe, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell = make_cell("packnet", bn=bn)
    states = fold(cell, tiny_tasks, replace(TRAINING, recipe=recipe))
    for task in (1, 2):
        classes, images = len(tiny_tasks[task - 1].classes), tiny_tasks[task - 1].test.images
        with torch.no_grad():
            first, *later = (network_for(cell, state, task, classes)(images) for state in states[task - 1 :])
        assert all(torch.equal(first, logits) for logits in later)


def with_a_bias() -> Network:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6)
    norm.num_batches_tracked = None
    layers = [nn.Conv2d(3, 6, 3), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)]
    return Network(nn.Sequential(*layers), 5, (0.5,) * 3, (0.25,) * 3)


def test_what_is_no_weight_of_a_layer_is_trained_by_the_first_task_only(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell = make_cell("packnet", with_a_bias())
    one, two = fold(cell, tiny_tasks[:2])
    given = {name: tensor for name, _, tensor in cell.pristine.tensors()}
    others = {name for name in one.shared if "parametrizations" not in name}
    assert len(others) == 1 + 4 + 1
    assert not any(torch.equal(one.shared[name], given[name]) for name in others)
    assert all(torch.equal(one.shared[name], two.shared[name]) for name in others)


def test_batch_normalisation_per_task(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    state = fold(make_cell("packnet", bn="per-task"), tiny_tasks[:2])[-1]
    assert NORMS.isdisjoint(state.shared)
    for own in state.tasks.values():
        assert {name for name in own if not is_head(name)} == NORMS


def test_a_task_for_which_nothing_is_left_learns_its_head(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """Of 30 weights none is pruned, of 162 three: the second task finds these, the third nothing."""
    one, two, three = fold(make_cell("packnet", pruned=0.02), tiny_tasks)
    assert owner(one, "3").eq(1).all()
    assert owner(one, "0").flatten().bincount().tolist() == [3, 159]
    assert owner(two, "0").flatten().bincount().tolist() == [0, 159, 3]
    assert all(torch.equal(two.shared[name], three.shared[name]) for name in two.shared)
    initial = replace(TRAINING, recipe=replace(TRAINING.recipe, lr=1e-30))
    unlearned = learn(make_cell("packnet", pruned=0.02), two, tiny_tasks[2], initial).state
    assert not torch.equal(three.tasks[3]["heads.3.bias"], unlearned.tasks[3]["heads.3.bias"])


def test_a_weight_at_least_is_kept_where_one_is_free(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    states = fold(make_cell("packnet", pruned=0.99), tiny_tasks)
    assert owner(states[-1], "3").flatten().bincount().tolist() == [27, 1, 1, 1]


@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 7, 8, 53, 300])
def test_owners_cost_log2_of_the_tasks_in_bits(tasks: int) -> None:
    """Beside ResNet-18's parameters and statistics: ceil(log2(T + 1)) bits for each of 11,166,912 weights."""
    with torch.device("meta"):
        network = backbones.get("resnet18")().network(weights=False)
    shared = prepare(Cell(network, PackNet, 10, 0, torch.device("meta")), tasks).take("shared")
    bits = math.ceil(math.log2(tasks + 1))
    assert tensor_bytes(shared) == 4 * (11_176_512 + 2 * 4_800) + bits * 11_166_912 // 8


def test_owners_survive_storing_whatever_the_number_of_tasks(make_cell: Callable[..., Cell]) -> None:
    bench, reader = (prepare(make_cell("packnet"), task) for task in (300, 2))
    name = "backbone.0.parametrizations.weight.0.owner"
    owners = torch.randint(0, 301, SHAPES["0"], dtype=torch.int16, generator=torch.Generator().manual_seed(0))
    bench.network.place({name: owners})
    reader.restore(bench.take("shared"))
    assert torch.equal(reader.network.get_buffer(name), owners)


@pytest.mark.parametrize("options", [{"pruned": 0.0}, {"pruned": 1.0}, {"train_share": 0.0}, {"train_share": 1.0}])
def test_options_are_checked(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"(pruned|train_share)=[01] must be above 0 and below 1"):
        PackNet(**options)
