"""Files of timm, DINO and DINOv2 in torchvision's vision transformers: the features are the same."""

from __future__ import annotations

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer as TimmViT
from torchvision.models.vision_transformer import VisionTransformer

from benchmark.backbones.base import fill, read_weights
from benchmark.backbones.tensor_names import with_todays_names, with_torchvisions_names
from methods.errors import UserError


def timms(scale: float | None) -> TimmViT:
    """Two blocks in double precision, every tensor random; `scale` starts a LayerScale, as DINOv2 has it."""
    network = TimmViT(
        img_size=16, patch_size=4, embed_dim=8, depth=2, num_heads=2, mlp_ratio=2, num_classes=3, init_values=scale
    )
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data.normal_(std=0.4, generator=generator)
    return network.double().eval()


def torchvisions() -> VisionTransformer:
    torch.manual_seed(2)
    network = VisionTransformer(image_size=16, patch_size=4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16)
    network.heads = torch.nn.Flatten(1)
    return network.double().eval()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: w,
        lambda w: {"model": w},
        lambda w: {"teacher": {f"module.backbone.{name}": tensor for name, tensor in w.items()}, "epoch": 3},
        lambda w: {f"module.{name}": tensor for name, tensor in w.items()} | {"module.mask_token": torch.zeros(1, 8)},
    ],
)
@pytest.mark.parametrize("scale", [None, 1e-5])
def test_both_networks_give_the_same_features_from_one_file(tmp_path, wrap, scale):
    theirs, ours = timms(scale), torchvisions()
    torch.save(wrap(theirs.state_dict()), tmp_path / "vit.pth")
    fill(ours, with_torchvisions_names(read_weights(str(tmp_path / "vit.pth"))), ("heads.",), "vit.pth")
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = theirs.forward_features(images)[:, 0]
        torch.testing.assert_close(ours(images), expected, rtol=1e-10, atol=1e-10)


def test_torchvisions_own_names_are_kept():
    weights = torchvisions().state_dict()
    assert with_torchvisions_names(weights).keys() == weights.keys() == with_todays_names(weights).keys()


def test_a_name_that_torchvision_does_not_have_is_kept_for_the_message():
    assert "register_tokens" in with_torchvisions_names(
        {"blocks.0.x": torch.zeros(1), "register_tokens": torch.zeros(1)}
    )


def test_a_layer_scale_that_does_not_fit_its_layer_is_kept_for_the_message():
    for gamma in (torch.ones(7), torch.ones(8, 1), torch.ones(8).to_sparse(), torch.ones(8).long()):
        weights = {**timms(1e-5).state_dict(), "blocks.1.ls2.gamma": gamma}
        with pytest.raises(UserError, match=r"^--backbone: vit.pth does not fit: the network has no 'blocks.1.ls2.gam"):
            fill(torchvisions(), with_torchvisions_names(weights), ("heads.",), "vit.pth")


def test_a_layer_scale_of_half_precision_is_multiplied_in_single_precision():
    """1e-4 times 1e-4 is 0 in half precision."""
    names = ("blocks.0.attn.proj.weight", "blocks.0.attn.proj.bias", "blocks.0.ls1.gamma")
    shapes = ((8, 8), (8,), (8,))
    weights = {name: torch.full(shape, 1e-4, dtype=torch.half) for name, shape in zip(names, shapes, strict=True)}
    for tensor in with_torchvisions_names(weights).values():
        torch.testing.assert_close(tensor, torch.full(tensor.shape, 1e-8), rtol=1e-2, atol=0)
