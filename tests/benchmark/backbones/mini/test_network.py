"""The embedded backbone: its size, its file, and that its weights are worth shipping."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file

from benchmark.backbones import backbone_of
from benchmark.backbones.mini.network import MEAN, STD, WEIGHTS, MiniResNet


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


def test_shipped_weights_beat_random_ones_on_handwriting():
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    data = load_digits()
    images = torch.tensor(data.images / 16, dtype=torch.float32)[:1000, None].repeat(1, 3, 1, 1)
    images = (F.interpolate(images, size=32, mode="bilinear") - MEAN[0]) / STD[0]

    def score(network: MiniResNet) -> float:
        with torch.no_grad():
            features = network.eval()(images)
        features = (features - features[:500].mean(0)) / (features[:500].std(0) + 1e-6)
        model = LogisticRegression(C=0.1, max_iter=300).fit(features[:500], data.target[:500])
        return model.score(features[500:], data.target[500:1000])

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
