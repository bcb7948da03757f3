"""Tokens beside those of an image, and which of them go on."""

import torch

from baselines.shared.tokens import Tokens
from methods.transformers import blocks

IMAGES = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_they_take_part_in_all_blocks_and_are_then_left_out(vit_network, vit_tokens):
    tokens = Tokens()
    tokens.add(blocks(vit_network))
    seen = []
    vit_network.backbone.encoder.ln.register_forward_hook(lambda norm, inputs, output: seen.append(output))
    before = vit_network.features(IMAGES)
    tokens.prompt = torch.randn(3, 2, 8, dtype=torch.float64)
    features = vit_network.features(IMAGES)
    expected = vit_tokens(IMAGES, tokens.prompt)
    torch.testing.assert_close(features, expected[:, 0], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(seen[1], torch.cat([expected[:, :1], expected[:, 3:]], 1), rtol=1e-8, atol=1e-10)
    tokens.prompt = None
    assert torch.equal(vit_network.features(IMAGES), before)


def test_the_same_tokens_for_all_images(vit_network, vit_tokens):
    tokens = Tokens()
    tokens.add(blocks(vit_network))
    tokens.prompt = torch.randn(1, 4, 8, dtype=torch.float64)
    expected = vit_tokens(IMAGES, tokens.prompt.expand(3, -1, -1))[:, 0]
    torch.testing.assert_close(vit_network.features(IMAGES), expected, rtol=1e-8, atol=1e-10)
