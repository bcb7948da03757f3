"""The embedded backbone: its size, its file, and that its weights are worth shipping."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from benchmark.backbones import backbone_of
from benchmark.backbones.mini.network import WEIGHTS, MiniResNet


def test_parameter_count():
    assert sum(parameter.numel() for parameter in MiniResNet().parameters()) == 293_912


@pytest.mark.parametrize("size", [16, 32, 64])
def test_features(size):
    features = MiniResNet()(torch.randn(2, 3, size, size))
    assert features.shape == (2, MiniResNet.features)
    assert MiniResNet.features == 128


def test_file_is_small_and_loads_strictly():
    assert WEIGHTS.stat().st_size < 2_000_000
    tensors = load_file(WEIGHTS)
    assert not any(name.endswith("num_batches_tracked") for name in tensors)
    MiniResNet().load_state_dict(tensors, strict=True)


def test_file_says_how_it_was_made():
    with safe_open(WEIGHTS, "pt") as file:
        settings = json.loads(file.metadata()["pretraining"])
    assert settings["accuracy"] > 50 / settings["classes"]
    assert {"classes", "images_per_class", "epochs", "seed"} <= set(settings)


def test_shipped_weights_beat_random_ones_on_handwriting(handwriting):
    images, score = handwriting(1000)
    shipped = MiniResNet()
    shipped.load_state_dict(load_file(WEIGHTS))
    torch.manual_seed(0)
    # In training mode once, so that the random network's normalisation fits the images.
    rand = MiniResNet()
    for module in rand.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        rand(images)
    assert score(shipped) > score(rand) + 0.03


@pytest.mark.parametrize(
    ("text", "pretraining"),
    [
        ("mini", "generated fractals"),
        ("mini:weights=random", "none"),
        ("mini:weights=a/b.safetensors", "b.safetensors"),
    ],
)
def test_tables_say_how_it_was_pretrained(text, pretraining):
    assert backbone_of(text).pretraining == pretraining
