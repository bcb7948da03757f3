"""Blocks and attention of transformers, in networks that are built in different ways."""

import pytest
import torch
from torchvision.models import get_model

from methods.errors import UserError
from methods.transformers import attentions, blocks, blocks_for, qkv


# Network, blocks, the first and the last one, and the length of their tokens.
@pytest.mark.parametrize(
    ("network", "count", "first", "last", "widths"),
    [
        ("vit_b_16", 12, "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_11", (768, 768)),
        ("swin_t", 12, "features.1.0", "features.7.1", (96, 768)),
        (
            *("maxvit_t", 22, "blocks.0.layers.0.layers.window_attention", "blocks.3.layers.1.layers.grid_attention"),
            (64, 512),
        ),
    ],
)
def test_the_blocks_of_a_transformer(network, count, first, last, widths):
    with torch.device("meta"):
        found = blocks(get_model(network, weights=None))
    assert (len(found), found[0].name, found[-1].name) == (count, first, last)
    assert (found[0].width, found[-1].width) == widths
    for block in found:
        assert block.mlp in list(block.module.children())
        assert block.attention in list(block.module.modules())
        assert block.attention not in list(block.mlp.modules())


@pytest.mark.parametrize("network", ["vit_b_16", "swin_t", "maxvit_t"])
def test_where_queries_keys_and_values_come_from(network):
    with torch.device("meta"):
        for attention in attentions(get_model(network, weights=None)):
            owner, weight, bias = qkv(attention)
            rows, width = getattr(owner, weight).shape
            assert rows == 3 * width
            assert getattr(owner, bias) is None or getattr(owner, bias).shape == (rows,)


@pytest.mark.parametrize("network", ["convnext_tiny", "resnet18"])
def test_a_network_without_attention_has_no_blocks(network):
    with torch.device("meta"):
        model = get_model(network, weights=None)
    assert blocks(model) == []
    with pytest.raises(UserError, match="vpt cannot be used on this backbone: it works on the blocks of a transformer"):
        blocks_for(model, "vpt")
