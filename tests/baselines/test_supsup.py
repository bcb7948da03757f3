"""SupSup: its random weights, its masks, and what it stores."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from baselines.supsup import SupSup, TopMask
from benchmark.backbones.mini.backbone import MiniBackbone
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.network import Network


@pytest.mark.parametrize(("share", "kept"), [(0.5, 60), (0.3, 36), (1.0, 120), (1e-6, 1)])
def test_the_mask_keeps_the_largest_scores(share: float, kept: int) -> None:
    scores = torch.randn(4, 10, 3, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = TopMask(scores, share)
    with torch.no_grad():
        seen = mask(torch.full_like(scores, 7.0))
    ranked = sorted(range(120), key=lambda index: -abs(scores.flatten()[index].item()))
    expected = [7.0 if index in ranked[:kept] else 0.0 for index in range(120)]
    assert seen.flatten().tolist() == expected


def test_equal_scores_are_kept_together_and_again_when_the_mask_is_restored() -> None:
    mask = TopMask(torch.tensor([0.5, -0.5, 0.1, 0.5, 0.7, -0.2]), share=0.5)
    first = mask.step(mask.relevance(mask.scores.detach()))
    assert first.tolist() == [True, True, False, True, True, False], "the third largest is one of three"
    assert torch.equal(mask.step(mask.relevance(first.float())), first)


def with_biases() -> Network:
    """A grouped convolution with a bias, and batch normalisation that is no identity."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8)
    norm.num_batches_tracked = None
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(tensor, 0.5, 1.5)
    layers = [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 3, groups=2), norm, nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Network(nn.Sequential(*layers), 8, (0.5,) * 3, (0.25,) * 3).double()


def test_weights_are_signed_constants_the_same_for_every_task_of_a_seed(make_cell: Callable[..., Cell]) -> None:
    """fan_in is 3 * 9 = 27, and 4 / 2 * 9 = 18 in the grouped convolution."""

    def frozen(seed: int, task: int) -> dict[str, torch.Tensor]:
        return prepare(make_cell("supsup", with_biases(), seed), task).take("frozen")

    one = frozen(seed=3, task=1)
    for key, fan_in in (("0", 27), ("1", 18)):
        weight = one[f"backbone.{key}.parametrizations.weight.original"]
        torch.testing.assert_close(weight.abs(), torch.full_like(weight, math.sqrt(2) / math.sqrt(fan_in)))
        assert 0.3 < (weight > 0).double().mean() < 0.7
        assert one[f"backbone.{key}.bias"].eq(0).all()
    assert one["backbone.2.weight"].eq(1).all()
    assert one["backbone.2.bias"].eq(0).all()
    second, other = frozen(seed=3, task=2), frozen(seed=4, task=1)
    assert all(torch.equal(one[key], second[key]) for key in one)
    assert not torch.equal(*(f["backbone.0.parametrizations.weight.original"] for f in (one, other)))


def test_statistics_start_anew_and_belong_to_the_task(make_cell: Callable[..., Cell]) -> None:
    own = prepare(make_cell("supsup", with_biases()), 1).take("task")
    assert {key for key in own if not key.endswith("scores")} == {"backbone.2.running_mean", "backbone.2.running_var"}
    assert own["backbone.2.running_mean"].eq(0).all()
    assert own["backbone.2.running_var"].eq(1).all()


def test_init_pretrained_keeps_the_backbone(make_cell: Callable[..., Cell]) -> None:
    network = with_biases()
    bench = prepare(make_cell("supsup", network, init="pretrained"), 1)
    kept = bench.take("frozen") | {key: v for key, v in bench.take("task").items() if not key.endswith("scores")}
    given = {key: tensor for key, _, tensor in network.tensors()}
    kept = {key.replace("parametrizations.weight.original", "weight"): tensor for key, tensor in kept.items()}
    assert kept.keys() == given.keys()
    assert all(torch.equal(kept[key], given[key]) for key in given)


def test_scores_are_kaiming_uniform_and_each_tasks_own(make_cell: Callable[..., Cell]) -> None:
    """With a = sqrt(5) the bound is sqrt(6 / (6 fan_in)) = 1 / sqrt(fan_in)."""
    one, again, two = (
        dict(prepare(make_cell("supsup"), task).network.named_parameters())[
            "backbone.0.parametrizations.weight.0.scores"
        ]
        for task in (1, 1, 2)
    )
    bound = 1 / math.sqrt(27)
    assert 0.95 * bound < one.abs().max() < bound
    assert one.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert torch.equal(one, again)
    assert not torch.equal(one, two)


def test_statistics_are_learned_and_the_affine_part_is_not(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell = make_cell("supsup")
    state = learn(cell, start(cell), tiny_tasks[0], Training(SupSup.recipe, epochs=1, batch_size=8)).state
    assert not state.tasks[1]["backbone.1.running_mean"].eq(0).all()
    assert "backbone.1.weight" not in state.tasks[1]
    assert state.shared == {}


def test_a_step_of_the_default_rate_changes_few_masks_of_the_default_backbone(make_cell: Callable[..., Cell]) -> None:
    """Of scores between +-b, |s| is even in 0..b; those within lr of the cutoff cross it, if their step is that way.

    A half does, on either side: that is a share lr / b of the mask.
    """
    network = prepare(make_cell("supsup", MiniBackbone().network()), 1).network
    masks = [module for module in network.modules() if isinstance(module, TopMask)]
    mask = min(masks, key=lambda module: module.scores.abs().max().item())
    before = mask.step(mask.relevance(mask.scores.detach()))
    signs = torch.randint(2, mask.scores.shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    optimizer = torch.optim.Adam([mask.scores], SupSup.recipe.lr)
    mask.scores.grad = signs
    optimizer.step()
    changed = (mask.step(mask.relevance(mask.scores.detach())) != before).double().mean().item()
    bound = 1 / math.sqrt(mask.scores[0].numel())
    assert changed == pytest.approx(SupSup.recipe.lr / bound, rel=0.1)
    assert changed < 0.11


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="sparsity=0 must be above 0 and at most 1"):
        SupSup(sparsity=0)
