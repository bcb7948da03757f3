"""torchvision's networks for one image size: their size, their position embeddings, and where they are cut."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from torchvision.models.vision_transformer import VisionTransformer

from benchmark.backbones import backbone_of
from benchmark.backbones.torchvision_transformers import VisionTransformerBackbone
from methods.errors import UserError


def tiny(size: int = 16) -> VisionTransformer:
    """Patches of 4 pixels, three blocks."""
    network = VisionTransformer(
        image_size=size, patch_size=4, num_layers=3, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=5
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


class TinyViT(VisionTransformerBackbone):
    """A vision transformer that is made in no time."""

    name = "vit_tiny_4"
    architecture = "vit_tiny_4"

    def _whole(self) -> VisionTransformer:
        assert self.image_size
        return tiny(self.image_size)


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(3)
    network = tiny().eval()
    torch.save(network.state_dict(), tmp_path / "vit.pth")
    return network, str(tmp_path / "vit.pth")


def normalised(images: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)


@pytest.mark.parametrize(
    ("text", "size", "features", "parameters"),
    [
        # 86,567,656 as published, without the classifier of 1,000 classes.
        ("vit_b_16", 224, 768, 86_567_656 - 769_000),
        # 4x4 instead of 14x14 positions.
        ("vit_b_16:image_size=64", 64, 768, 86_567_656 - 769_000 - (196 - 16) * 768),
        ("vit_b_32:until=encoder.layers.encoder_layer_0", 224, 768, (3 * 32**2 + 1 + 1 + 50) * 768 + 7_087_872),
        ("maxvit_t", 224, 512, None),
        ("maxvit_t:until=blocks.1:image_size=448", 448, 128, None),
        ("maxvit_t:until=stem", 224, 64, 3 * 64 * 9 + 2 * 64 + 64 * 64 * 9 + 64),
    ],
)
def test_size_features_and_parameters(text, size, features, parameters):
    backbone = backbone_of(text)
    with torch.device("meta"):
        network = backbone.network(weights=False).to("meta").eval()
    assert (backbone.image_size, network.feature_dim) == (size, features)
    assert network.features(torch.empty(2, 3, size, size, dtype=torch.uint8, device="meta")).shape == (2, features)
    if parameters:
        assert sum(p.numel() for p in network.backbone.parameters()) == parameters


def test_the_size_is_that_of_the_published_weights():
    assert backbone_of("vit_b_16:weights=IMAGENET1K_SWAG_E2E_V1").image_size == 384
    assert backbone_of("vit_b_16:weights=IMAGENET1K_V1").image_size == 224
    assert backbone_of("vit_b_16:weights=IMAGENET1K_SWAG_E2E_V1:image_size=224").image_size == 224
    assert backbone_of("vit_b_16:weights=IMAGENET1K_V1").pretraining == "ImageNet-1k (IMAGENET1K_V1)"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vit_b_16:image_size=40", "'vit_b_16:image_size=40': image_size=40 is no multiple of 16"),
        ("vit_b_16:image_size=0", "'vit_b_16:image_size=0': image_size=0 is no multiple of 16"),
        ("maxvit_t:image_size=256", "'maxvit_t:image_size=256': image_size=256 is no multiple of 224"),
        ("vit_b_16:weights=nope", "--backbone: vit_b_16 has no weights 'nope': known are random, IMAGENET1K_V1, "),
    ],
)
def test_an_impossible_size_is_refused(text, says):
    with pytest.raises(UserError) as caught:
        backbone_of(text)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("until", "says"),
    [
        ("conv_proj", "vit_tiny_4 cannot be cut after conv_proj, where the class token has seen no patch; cut after a"),
        ("encoder.dropout", "vit_tiny_4 cannot be cut after encoder.dropout, where the class token has seen no patch"),
        ("encoder.layers.encoder_layer_1.mlp", "vit_tiny_4 cannot be cut inside encoder.layers.encoder_layer_1; it "),
        (
            "encoder.layers.encoder_layer_3",
            "inside encoder.layers it can be cut after encoder_layer_0, ",
        ),
    ],
)
def test_a_place_without_features_is_refused(until, says):
    with pytest.raises(UserError, match=says):
        TinyViT(until=until, image_size=16).network()


def test_a_cut_transformer_gives_the_class_token_of_its_last_block(file):
    network, path = file
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    cut = TinyViT("encoder.layers.encoder_layer_1", path, 16).network().eval()
    assert "encoder.layers.encoder_layer_2.ln_1.weight" not in cut.backbone.state_dict()
    with torch.no_grad():
        tokens = network._process_input(normalised(images))
        tokens = torch.cat([network.class_token.expand(2, 1, 8), tokens], 1) + network.encoder.pos_embedding
        for block in list(network.encoder.layers)[:2]:
            tokens = block(tokens)
        torch.testing.assert_close(cut.features(images), tokens[:, 0], rtol=1e-4, atol=1e-5)


def test_position_embeddings_of_another_size_are_interpolated_with_a_warning(file):
    network, path = file
    said: list[str] = []
    found = (
        TinyViT(weights=path, image_size=24).network(warn=said.append).backbone.state_dict()["encoder.pos_embedding"]
    )
    positions = network.encoder.pos_embedding.detach()
    grid = positions[:, 1:].transpose(1, 2).reshape(1, 8, 4, 4)
    wider = F.interpolate(grid, size=(6, 6), mode="bicubic", align_corners=True).flatten(2).transpose(1, 2)
    torch.testing.assert_close(found, torch.cat([positions[:, :1], wider], 1))
    assert said == [
        f"--backbone: the position embeddings of {path} are for 4x4 patches, and here they are interpolated to 6x6"
    ]
    said.clear()
    TinyViT(weights=path, image_size=16).network(warn=said.append)
    assert said == []


@pytest.mark.parametrize("positions", [0, 1, 15])
def test_position_embeddings_that_are_no_square_are_refused(tmp_path, file, positions):
    network, _ = file
    weights = {**network.state_dict(), "encoder.pos_embedding": torch.zeros(1, positions, 8)}
    torch.save(weights, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=f"has {positions} positions, which are no class token and a square of patches"):
        TinyViT(weights=str(tmp_path / "odd.pth"), image_size=16).network()


@pytest.mark.parametrize(
    ("positions", "says"),
    [
        (torch.zeros(1, 26, 9), r"has shape \[1, 26, 9\], the network needs \[1, 17, 8\]"),
        (torch.zeros(2, 26, 8), r"has shape \[2, 26, 8\], the network needs \[1, 17, 8\]"),
        (torch.zeros(1, 26, 8).long(), r"has shape \[1, 26, 8\], the network needs \[1, 17, 8\]"),
        (torch.zeros(1, 26, 8).to_sparse(), r"has shape \[1, 26, 8\], the network needs \[1, 17, 8\]"),
    ],
)
def test_position_embeddings_with_another_fault_are_not_interpolated(tmp_path, file, positions, says):
    network, _ = file
    torch.save({**network.state_dict(), "encoder.pos_embedding": positions}, tmp_path / "odd.pth")
    said: list[str] = []
    with pytest.raises(UserError, match=says):
        TinyViT(weights=str(tmp_path / "odd.pth"), image_size=16).network(warn=said.append)
    assert said == []


def test_published_weights_have_earlier_names(monkeypatch, file):
    """torchvision's files of 2022 call the layers of a block's MLP linear_1 and linear_2."""
    network, _ = file
    published = {
        name.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2."): tensor
        for name, tensor in network.state_dict().items()
    }
    weights = torchvision.models.ViT_B_16_Weights
    monkeypatch.setattr(TinyViT, "_chosen", lambda self: weights.IMAGENET1K_V1)
    monkeypatch.setattr(weights, "get_state_dict", lambda self, **options: published)
    loaded = TinyViT(weights="IMAGENET1K_V1", image_size=16).network().backbone.state_dict()
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in loaded.items())
