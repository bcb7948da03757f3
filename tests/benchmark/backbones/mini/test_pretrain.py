"""Pretraining at toy size: it learns, writes a file that loads, and repeats itself exactly."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from benchmark.backbones.mini.network import MiniResNet
from benchmark.backbones.mini.pretrain import pretrain
from benchmark.backbones.mini.vit import MiniViT
from methods.errors import UserError

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


def test_a_file_that_it_did_not_make_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.backbones.mini.pretrain._pictures", None)
    for name, content in (("thesis.txt", b"all of it"), ("other.safetensors", save({"w": torch.zeros(1)}))):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"{name} is there and was not made by `pretrain`; give another name"):
            pretrain(path, **TINY)
        assert path.read_bytes() == content


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first, again, other = (
        pretrain(tmp_path / f"{i}.safetensors", **TINY, seed=seed) for i, seed in enumerate((0, 0, 1))
    )
    # What it has made it makes again.
    pretrain(first.path, **TINY)
    assert first.path.read_bytes() == again.path.read_bytes() != other.path.read_bytes()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_the_transformer_is_made_by_the_same_command(tmp_path):
    sizes = {**TINY, "images_per_class": 90}
    state = torch.random.get_rng_state()
    first, again = (pretrain(tmp_path / f"{i}.safetensors", "mini-vit", **sizes) for i in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.path.read_bytes() == again.path.read_bytes()
    MiniViT().load_state_dict(load_file(first.path), strict=True)
