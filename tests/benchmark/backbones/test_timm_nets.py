"""Networks of timm: their size, normalisation and weights. timm's `test_` networks are made in no time."""

from __future__ import annotations

import importlib.util
import logging

import pytest
import timm
import torch

from benchmark.backbones import backbone_of
from benchmark.planning.preparation import image_size_for
from methods.errors import UserError


def refusal(call, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def saved(path, model: str = "test_vit", seed: int = 3, **options) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    weights = timm.create_model(model, **options).state_dict()
    torch.save(weights, path)
    return weights


@pytest.mark.parametrize(
    ("text", "size", "features", "mean"),
    [
        ("timm:test_vit", 160, 64, 0.5),
        ("timm:test_vit.r160_in1k:image_size=64", 64, 64, 0.5),
        ("timm:test_resnet", None, 96, 0.5),
        ("timm:test_resnet:image_size=64", 64, 96, 0.5),
        ("timm:test_mambaout", None, 256, 0.485),
    ],
)
def test_size_features_and_normalisation_are_timms(text, size, features, mean):
    backbone = backbone_of(text)
    network = backbone.network().eval()
    assert (backbone.image_size, network.feature_dim, backbone.mean[0]) == (size, features, mean)
    images = torch.randint(0, 256, (2, 3, size or 96, size or 96), dtype=torch.uint8)
    assert network.features(images).shape == (2, features)
    assert not [tensor for _, _, tensor in network.tensors() if 1000 in tensor.shape]


def test_pixels_may_stay_as_they_are():
    """As RanPAC's code has them: from 0 to 1."""
    torch.manual_seed(0)
    backbone = backbone_of("timm:test_vit:normalise=false:image_size=32")
    network = backbone.network().eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(network.features(images), network.backbone(images / 255))
    assert backbone_of("timm:test_vit").mean == (0.5, 0.5, 0.5)


def test_a_file_of_timm_gives_timms_features(tmp_path):
    weights = saved(tmp_path / "vit.pth")
    network = backbone_of(f"timm:test_vit:weights={tmp_path / 'vit.pth'}").network().eval()
    theirs = timm.create_model("test_vit").eval()
    theirs.load_state_dict(weights)
    images = torch.randint(0, 256, (2, 3, 160, 160), dtype=torch.uint8)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features((images / 255 - 0.5) / 0.5), pre_logits=True)
        torch.testing.assert_close(network.features(images), expected, rtol=1e-4, atol=1e-5)


def test_dinos_prefixes_are_known(tmp_path):
    weights = saved(tmp_path / "plain.pth", num_classes=0)
    torch.save({"teacher": {f"module.backbone.{name}": t for name, t in weights.items()}}, tmp_path / "dino.pth")
    network = backbone_of(f"timm:test_vit:weights={tmp_path / 'dino.pth'}").network()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.backbone.state_dict().items())


def test_position_embeddings_of_another_size_are_interpolated_with_a_warning(tmp_path):
    path = tmp_path / "vit.pth"
    weights = saved(path)
    said: list[str] = []
    network = backbone_of(f"timm:test_vit:image_size=64:weights={path}").network(warn=said.append)
    expected = timm.layers.resample_abs_pos_embed(weights["pos_embed"], new_size=[4, 4], num_prefix_tokens=1)
    torch.testing.assert_close(network.backbone.state_dict()["pos_embed"], expected)
    assert said == [
        f"--backbone: 'pos_embed' of {path} has another shape; timm interpolates it, [1, 101, 64] to [1, 17, 64]"
    ]


def test_weights_of_another_network_are_refused(tmp_path):
    saved(tmp_path / "resnet.pth", "test_resnet")
    message = refusal(backbone_of(f"timm:test_vit:weights={tmp_path / 'resnet.pth'}").network)
    assert message == f"--backbone: {tmp_path / 'resnet.pth'} does not fit: it lacks 'cls_token', which the network has"


def test_published_weights_are_timms(monkeypatch):
    torch.manual_seed(5)
    published = timm.create_model("test_vit", num_classes=0)
    create, asked = timm.create_model, []

    def created(model, pretrained=False, **options):
        asked.append((model, pretrained, options))
        return published if pretrained else create(model, **options)

    monkeypatch.setattr(timm, "create_model", created)
    backbone = backbone_of("timm:test_vit:weights=pretrained")
    network = backbone.network()
    for name, tensor in network.backbone.state_dict().items():
        assert torch.equal(tensor, published.state_dict()[name])
    assert ("test_vit", True, {"num_classes": 0, "img_size": 160}) in asked
    assert backbone.pretraining == "timm (r160_in1k)"


def test_without_a_network_a_file_is_asked_for(monkeypatch):
    create = timm.create_model

    def unreachable(model, pretrained=False, **options):
        if pretrained:
            raise OSError("no route to host\nsecond line")
        return create(model, **options)

    monkeypatch.setattr(timm, "create_model", unreachable)
    assert refusal(backbone_of("timm:test_vit:weights=pretrained").network) == (
        "--backbone: the weights of timm:test_vit could not be downloaded (OSError: no route to host); give a local "
        "file with timm:test_vit:weights=FILE"
    )


def test_a_wait_for_the_network_is_told_once(monkeypatch, caplog):
    """huggingface_hub warns at each of its tries, of which it makes five."""
    create, logger = timm.create_model, logging.getLogger("huggingface_hub")
    before = logger.handlers[:]

    def tries(model, pretrained=False, **options):
        for _ in range(5 if pretrained else 0):
            logger.getChild("utils._http").warning("no connection; retrying")
        return create(model, **options)

    monkeypatch.setattr(timm, "create_model", tries)
    said: list[str] = []
    backbone_of("timm:test_vit:weights=pretrained").network(warn=said.append)
    assert said == [
        "--backbone: the weights of timm:test_vit cannot be downloaded yet; it is tried again for up to a minute"
    ]
    assert caplog.text == ""
    assert logger.handlers == before


def test_a_tag_in_the_place_of_a_file_is_refused():
    assert refusal(backbone_of("timm:test_vit:weights=r160_in1k").network) == (
        "--backbone: there is no weights file r160_in1k; without a file weights= is random or pretrained"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("timm", "'timm' needs MODEL: write timm:MODEL"),
        ("timm:test_vitt", "--backbone: timm has no network 'test_vitt'; did you mean test_vit"),
        ("timm:test_vit.x", "--backbone: timm has no weights 'x' of test_vit; known are r160_in1k"),
        ("timm:test_vit:image_size=0", "'timm:test_vit:image_size=0': image_size=0 is not at least 1"),
        ("timm:test_resnet:image_size=-3", "'timm:test_resnet:image_size=-3': image_size=-3 is not at least 1"),
        ("timm:test_vit:size=3", "'timm:test_vit:size=3' has no option 'size': "),
    ],
)
def test_a_name_that_timm_does_not_have_is_refused(text, says):
    assert refusal(backbone_of, text).startswith(says)


def test_an_impossible_size_is_refused():
    message = refusal(backbone_of("timm:test_vit:image_size=65").network)
    assert message.startswith("--backbone: timm:test_vit does not run on images of 65x65: ")
    assert refusal(image_size_for, backbone_of("timm:test_vit"), 64) == (
        "--image-size 64: backbone timm:test_vit takes only images of 160x160; leave the option out, give "
        "--image-size 160 if a preset or a file says 64, or write timm:test_vit:image_size=64"
    )


def test_without_timm_its_extra_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "timm" else find(name, *rest))
    assert refusal(backbone_of, "timm:test_vit") == (
        '--backbone: timm is not installed; install it with: pip install ".[timm]"'
    )


def test_tables_say_how_it_was_pretrained():
    assert backbone_of("timm:test_vit").pretraining == "none"
    assert backbone_of("timm:test_vit:weights=a/b.safetensors").pretraining == "b.safetensors"
