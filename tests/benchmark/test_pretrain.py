"""Pretraining at toy size: it learns, writes a file that loads, and repeats itself exactly."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from benchmark.backbones.mini import MiniResNet
from benchmark.pretrain import pretrain

TOY = {"classes": 4, "images_per_class": 150, "epochs": 8}
TINY = {"classes": 3, "images_per_class": 50, "epochs": 1}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return pretrain(tmp_path_factory.mktemp("weights") / "deeper" / "toy.safetensors", **TOY)


def test_learns_above_chance(result):
    assert result.accuracy > 0.25 + 0.15


def test_file_loads_strictly_and_records_its_making(result):
    MiniResNet().load_state_dict(load_file(result.path), strict=True)
    with safe_open(result.path, "pt") as file:
        assert json.loads(file.metadata()["pretraining"]) == {**TOY, "seed": 0, "accuracy": result.accuracy}


def test_leaves_no_partial_file(result):
    assert [path.name for path in result.path.parent.iterdir()] == ["toy.safetensors"]


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first, again, other = (
        pretrain(tmp_path / f"{i}.safetensors", **TINY, seed=seed) for i, seed in enumerate((0, 0, 1))
    )
    assert first.path.read_bytes() == again.path.read_bytes() != other.path.read_bytes()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
