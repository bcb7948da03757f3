"""The embedded transformer: its size, its names, and that it is torchvision's network."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from benchmark.backbones import backbone_of
from benchmark.backbones.mini.vit import WEIGHTS, MiniViT


def test_parameter_count():
    stem = (3 * 9 * 32 + 32) + (32 * 9 * 64 + 64) + (64 * 64 + 64)
    block = 2 * 2 * 64 + (3 * 64 * 64 + 3 * 64) + (64 * 64 + 64) + (64 * 256 + 256) + (256 * 64 + 64)
    tokens = 64 + (1 + 8 * 8) * 64
    assert sum(parameter.numel() for parameter in MiniViT().parameters()) == stem + tokens + 6 * block + 2 * 64


def test_features_are_the_class_token():
    network = MiniViT().eval()
    images = torch.randn(2, 3, 32, 32)
    tokens = network._process_input(images)
    assert tokens.shape == (2, 64, 64)
    tokens = network.encoder(torch.cat([network.class_token.expand(2, 1, 64), tokens], 1))
    torch.testing.assert_close(network(images), tokens[:, 0])


def test_file_is_small_loads_strictly_and_says_how_it_was_made():
    assert WEIGHTS.stat().st_size < 2_000_000
    MiniViT().load_state_dict(load_file(WEIGHTS), strict=True)
    with safe_open(WEIGHTS, "pt") as file:
        settings = json.loads(file.metadata()["pretraining"])
    assert settings["accuracy"] > 50 / settings["classes"]
    assert {"classes", "images_per_class", "epochs", "seed"} <= set(settings)


def test_shipped_weights_beat_random_ones_on_handwriting(handwriting):
    _, score = handwriting(600)
    shipped = MiniViT()
    shipped.load_state_dict(load_file(WEIGHTS))
    torch.manual_seed(0)
    assert score(shipped) > score(MiniViT()) + 0.05


def test_it_has_no_batch_normalisation():
    kinds = {type(module) for module in MiniViT().modules()}
    assert nn.LayerNorm in kinds
    assert nn.BatchNorm2d not in kinds


@pytest.mark.parametrize(
    ("text", "pretraining"),
    [
        ("mini-vit", "generated fractals"),
        ("mini-vit:weights=random", "none"),
        ("mini-vit:weights=a/b.safetensors", "b.safetensors"),
    ],
)
def test_tables_say_how_it_was_pretrained(text, pretraining):
    assert backbone_of(text).pretraining == pretraining


def test_it_takes_images_of_one_size():
    assert backbone_of("mini-vit").image_size == 32


def test_a_file_of_weights_may_hold_a_classifier(tmp_path):
    weights = {**MiniViT().state_dict(), "heads.head.weight": torch.zeros(5, 64), "heads.head.bias": torch.zeros(5)}
    torch.save(weights, tmp_path / "vit.pth")
    network = backbone_of(f"mini-vit:weights={tmp_path / 'vit.pth'}").network()
    for name, tensor in network.backbone.state_dict().items():
        assert torch.equal(tensor, weights[name])
