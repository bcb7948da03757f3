"""Fractal pictures: contractions, reproducible, and classes that look alike within and differ between."""

from __future__ import annotations

import pytest
import torch

from benchmark.backbones.mini.fractals import MAPS, render, sample_systems


@pytest.fixture(scope="module")
def systems():
    return sample_systems(50, torch.Generator().manual_seed(0))


def test_systems_contract(systems):
    assert systems.linear.shape == (50, MAPS, 2, 2)
    assert torch.linalg.svdvals(systems.linear).max() < 0.96
    assert torch.allclose(systems.odds.sum(1), torch.ones(50))


def test_systems_have_two_maps_or_more(systems):
    used = (systems.odds > 0).sum(1)
    assert set(used.tolist()) == {2, 3, 4}


@pytest.mark.parametrize("size", [32, 48])
def test_pictures_have_the_asked_size(systems, size):
    pictures = render(systems, torch.tensor([0, 1, 1]), torch.Generator().manual_seed(1), size)
    assert pictures.shape == (3, 3, size, size)
    assert pictures.dtype == torch.uint8


def test_same_generator_same_pictures(systems):
    labels = torch.arange(50)
    first, again = (render(systems, labels, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again)


def test_pictures_of_one_class_differ(systems):
    pictures = render(systems, torch.zeros(64, dtype=torch.long), torch.Generator().manual_seed(1))
    assert len({picture.numpy().tobytes() for picture in pictures}) == 64


def test_no_picture_is_blank(systems):
    pictures = render(systems, torch.arange(50), torch.Generator().manual_seed(1)).float()
    assert pictures.flatten(1).std(1).min() > 5
