"""Several passes of an image through one backbone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from baselines.shared.adapters import Adapter, add_adapters
from baselines.shared.passes import Passes, units_side_by_side
from benchmark.checks.tiny import make_images, three_tasks
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell
from benchmark.storage.state import State
from methods.network import Network


@pytest.fixture
def passes(vit: Network) -> Passes:
    """Three passes: without adapters, with those of one set, and with those of another."""
    sets = [add_adapters(vit, 4, 0.5, "test", name) for name in ("first", "second")]
    for module in vit.modules():
        if isinstance(module, Adapter):
            torch.nn.init.normal_(module.up)
    passes = Passes([[], *sets])
    passes.add(vit)
    return passes


@torch.no_grad()
def test_each_pass_has_modules_of_its_own(vit: Network, passes: Passes) -> None:
    images = make_images(5, 2, 8, seed=0).images
    alone = []
    for turn in range(3):
        with passes.only(turn):
            alone.append(vit.features(images))
    assert not torch.allclose(alone[0], alone[1])
    assert not torch.allclose(alone[1], alone[2])
    assert torch.equal(vit.features(images), torch.cat(alone, 1))
    with passes.joined_by(units_side_by_side):
        units = [features / features.norm(dim=1, keepdim=True) for features in alone]
        torch.testing.assert_close(vit.features(images), torch.cat(units, 1))
    with passes.only(-1):
        assert torch.equal(vit.features(images), alone[2])


@torch.no_grad()
def test_a_copy_of_the_network_has_passes_of_its_own(vit: Network, passes: Passes) -> None:
    images = make_images(5, 2, 8, seed=0).images
    expected, twin = vit.features(images), copy.deepcopy(vit)
    for module in vit.modules():
        if isinstance(module, Adapter):
            module.up.zero_()
    assert torch.equal(twin.features(images), expected)
    with passes.only(1):
        assert twin.features(images).shape == (5, 24)
        assert vit.features(images).shape == (5, 8)


@torch.no_grad()
def test_after_an_error_all_passes_are_made_again(vit: Network, passes: Passes) -> None:
    images = make_images(5, 2, 8, seed=0).images
    expected = vit.features(images)
    with pytest.raises(RuntimeError):
        vit.features(images[:, :2])
    assert torch.equal(vit.features(images), expected)


@pytest.mark.parametrize("spec", ["slca", "aper", "aper:module=ssf", "ease", "lae"])
def test_an_answer_is_for_one_image_alone(
    spec: str, make_cell: Callable[..., Cell], vit: Network, states: Callable[..., list[State]]
) -> None:
    """In batches of 1, 7 and 64, and in another order, on a transformer."""
    cell = replace(make_cell(spec, vit), scenario="class", widths=(3, 2, 4))
    state = states(cell, three_tasks("class"))[-1]
    images = make_images(70, 9, 8, seed=1).images
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network = network_for(cell, state, 1, 3)
        together = network(images)
        for size in (1, 7, 64):
            found = torch.cat([network(some) for some in images[order].split(size)])
            torch.testing.assert_close(found, together[order], rtol=1e-9, atol=1e-10)
