"""torchvision's networks: whole and cut, with and without weights."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision.models
from torch import nn
from torchvision.models import resnet18

from benchmark.backbones import backbones
from methods.errors import UserError
from methods.options import construct, parse_spec


def source(text: str):
    spec = parse_spec(text)
    return construct(backbones.get(spec.name), spec)


def shape_of(text: str):
    """The network without data."""
    return source(text).network(weights=False).to("meta")


def refusal(call, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "features", "parameters"),
    [
        ("resnet18", 512, 11_176_512),
        # Stem 9,536; layer1 147,968; layer2 525,568; layer3 2,099,712; layer4 8,393,728.
        ("resnet18:until=layer3", 256, 2_782_784),
        ("resnet18:until=layer2", 128, 683_072),
        ("resnet18:until=layer1.0", 64, 9_536 + 73_984),
        ("resnet18:until=maxpool", 64, 9_536),
        ("mobilenet_v2:until=features.10", 64, None),
        ("vgg11_bn:until=features.6", 128, None),
        ("densenet121:until=features.denseblock1", 256, None),
        ("squeezenet1_1:until=features.4", 128, None),
        ("googlenet:until=inception3b", 480, None),
        ("inception_v3:until=Mixed_5d", 288, None),
        ("convnext_tiny:until=features.3", 192, None),
        ("efficientnet_b0:until=features.4", 80, None),
        ("shufflenet_v2_x1_0:until=stage3", 232, None),
        ("mnasnet1_0:until=layers.9", 40, None),
        ("regnet_x_400mf:until=trunk_output.block2", 64, None),
        ("mobilenet_v3_small:until=features.8", 48, None),
        ("alexnet:until=features.5", 192, None),
        # Patches 3x4x4 to 96 with normalisation; a block: norms, qkv and output, bias table 13x13 of 3 heads, MLP.
        ("swin_t:until=features.1.0", 96, 4_896 + (384 + 37_248 + 507 + 74_208)),
        ("swin_v2_t:until=features.3", 192, None),
    ],
)
def test_features_and_parameters(text, features, parameters):
    network = shape_of(text)
    assert network.feature_dim == features
    for size in (64, 96) if "inception" not in text else (96,):
        images = torch.empty(2, 3, size, size, dtype=torch.uint8, device="meta")
        assert network.eval().features(images).shape == (2, features)
    if parameters is not None:
        assert sum(p.numel() for p in network.backbone.parameters()) == parameters


OTHERS = ("mini", "mini-vit", "mlp", "conv-mlp", "timm", "dino_resnet50", "swav_resnet50")
TORCHVISION = [name for name in backbones.names() if name not in OTHERS]


def linear(inputs: int, outputs: int = 1000) -> int:
    return inputs * outputs + outputs


@pytest.mark.parametrize(
    ("name", "features", "classifier"),
    [
        ("alexnet", 256, linear(256 * 36, 4096) + linear(4096, 4096) + linear(4096)),
        ("convnext_tiny", 768, 2 * 768 + linear(768)),
        ("densenet121", 1024, linear(1024)),
        ("efficientnet_b0", 1280, linear(1280)),
        ("efficientnet_v2_s", 1280, linear(1280)),
        ("googlenet", 1024, linear(1024)),
        # Its auxiliary classifier: convolutions 1x1 and 5x5 with normalisation, and a linear layer.
        ("inception_v3", 2048, linear(2048) + (768 * 128 + 256) + (128 * 768 * 25 + 1536) + linear(768)),
        ("mnasnet0_5", 1280, linear(1280)),
        ("mobilenet_v2", 1280, linear(1280)),
        ("mobilenet_v3_small", 576, linear(576, 1024) + linear(1024)),
        ("regnet_x_400mf", 400, linear(400)),
        ("regnet_y_128gf", 7392, linear(7392)),
        ("resnet50", 2048, linear(2048)),
        ("resnext50_32x4d", 2048, linear(2048)),
        ("shufflenet_v2_x0_5", 1024, linear(1024)),
        ("squeezenet1_1", 512, linear(512)),
        ("swin_t", 768, linear(768)),
        ("swin_v2_t", 768, linear(768)),
        ("vgg11_bn", 512, linear(512 * 49, 4096) + linear(4096, 4096) + linear(4096)),
        ("wide_resnet50_2", 2048, linear(2048)),
    ],
)
def test_every_family_can_be_built_without_data_and_lacks_its_classifier_only(name, features, classifier):
    network = shape_of(name)
    assert network.feature_dim == features
    assert all(p.is_meta for p in network.backbone.parameters())
    published = torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
    assert sum(p.numel() for p in network.backbone.parameters()) == published - classifier


def test_every_network_of_torchvision_is_there():
    assert sorted(TORCHVISION) == sorted(torchvision.models.list_models(module=torchvision.models))


def test_cutting_leaves_the_features_of_the_part_before(tmp_path):
    torch.manual_seed(3)
    plain = resnet18().eval()
    torch.save(plain.state_dict(), tmp_path / "w.pth")
    network = source(f"resnet18:until=layer2:weights={tmp_path / 'w.pth'}").network().eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.no_grad():
        x = plain.maxpool(plain.relu(plain.bn1(plain.conv1((images / 255 - mean) / std))))
        expected = plain.layer2(plain.layer1(x)).mean((2, 3))
        torch.testing.assert_close(network.features(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "resnet18:until=nope",
            "--backbone: resnet18 has no module 'nope' to cut at; it can be cut after conv1, bn1, relu, maxpool, "
            "layer1, layer2, layer3, layer4",
        ),
        (
            "resnet18:until=layer3.7",
            "--backbone: resnet18 has no module 'layer3.7' to cut at; inside layer3 it can be cut after 0, 1",
        ),
        (
            "resnet18:until=layer3.0.conv1",
            "--backbone: resnet18 cannot be cut inside layer3.0; it can be cut after it",
        ),
        ("mobilenet_v2:until=layer3", "--backbone: mobilenet_v2 has no module 'layer3' to cut at; it can be cut after"),
        ("resnet18:layer3", "'resnet18:layer3': 'layer3' is not of the form option=value; valid options of resnet18"),
    ],
)
def test_a_place_to_cut_that_does_not_exist_is_answered_with_those_that_do(text, says):
    assert refusal(shape_of, text).startswith(says)


def test_the_list_of_places_to_cut_is_true():
    message = refusal(shape_of, "squeezenet1_1:until=features.99")
    places = message.rpartition("cut after ")[2].split(", ")
    assert len(places) == 13
    for place in places[:3]:
        assert shape_of(f"squeezenet1_1:until=features.{place}").feature_dim == 64


def test_weights_of_the_whole_network_fit_a_cut_one(tmp_path):
    torch.manual_seed(3)
    whole = resnet18(num_classes=17)
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    network = source(f"resnet18:until=layer1:weights={tmp_path / 'w.pth'}").network()
    live = network.backbone.state_dict()
    assert "layer1.1.bn2.running_var" in live
    assert not [name for name in live if name.startswith(("layer2", "layer3", "layer4", "fc"))]
    assert all(torch.equal(tensor, whole.state_dict()[name]) for name, tensor in live.items())


def test_weights_of_a_cut_network_do_not_fit_the_whole(tmp_path):
    cut = {name: tensor for name, tensor in resnet18().state_dict().items() if not name.startswith("layer4")}
    path = tmp_path / "w.pth"
    torch.save(cut, path)
    expected = f"--backbone: {path} does not fit: it lacks 'layer4.0.conv1.weight', which the network has"
    assert refusal(source(f"resnet18:weights={path}").network) == expected


def test_weights_of_another_network_do_not_fit(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(torchvision.models.squeezenet1_1().state_dict(), path)
    says = f"--backbone: {path} does not fit: it lacks 'conv1.weight'"
    assert refusal(source(f"resnet18:weights={path}").network).startswith(says)


def voc_segmenter(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As torchvision's FCN and DeepLab name their tensors, trained on several GPUs or not."""
    heads = {"classifier.4.weight": torch.zeros(21, 4, 1, 1), "aux_classifier.4.bias": torch.zeros(21)}
    return {f"backbone.{name}": tensor for name, tensor in state.items()} | heads


def voc_detector(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As torchvision's Faster R-CNN names them; its frozen normalisation counts no batches."""
    heads = {
        "backbone.fpn.inner_blocks.0.0.weight": torch.zeros(4, 4, 1, 1),
        "rpn.head.cls_logits.bias": torch.zeros(3),
        "roi_heads.box_predictor.cls_score.weight": torch.zeros(21, 8),
    }
    counted = "num_batches_tracked"
    return {f"backbone.body.{name}": tensor for name, tensor in state.items() if not name.endswith(counted)} | heads


@pytest.mark.parametrize("trained", [voc_segmenter, voc_detector])
@pytest.mark.parametrize(
    "wrap", [lambda w: w, lambda w: {"model": w, "epoch": 2}, lambda w: {f"module.{k}": v for k, v in w.items()}]
)
def test_backbones_of_detectors_and_segmenters_fit(tmp_path, trained, wrap):
    state = {name: tensor for name, tensor in resnet18().state_dict().items() if not name.startswith("fc.")}
    state["bn1.bias"] = torch.rand(64)
    torch.save(wrap(trained(state)), tmp_path / "voc.pth")
    backbone = source(f"resnet18:until=layer2:weights={tmp_path / 'voc.pth'}")
    live = backbone.network().backbone.state_dict()
    assert "layer2.1.bn2.running_var" in live
    assert all(torch.equal(tensor, state[name]) for name, tensor in live.items())
    assert backbone.pretraining == "voc.pth"


def test_torchvisions_own_segmenters_and_detectors_are_named_so():
    segmenter = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=21)
    detector = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=21)
    plain = {name for name, _ in torchvision.models.resnet50().named_parameters() if not name.startswith("fc.")}
    for network, prefix in ((segmenter, "backbone."), (detector, "backbone.body.")):
        assert {f"{prefix}{name}" for name in plain} <= network.state_dict().keys()


@pytest.mark.parametrize(
    ("text", "pretraining"),
    [
        ("resnet18", "none"),
        ("resnet18:weights=IMAGENET1K_V1", "ImageNet-1k (IMAGENET1K_V1)"),
        ("resnet50:weights=DEFAULT", "ImageNet-1k (IMAGENET1K_V2)"),
        ("resnet18:weights=some/where/places.pth.tar", "places.pth.tar"),
    ],
)
def test_tables_say_how_it_was_pretrained(text, pretraining):
    assert source(text).pretraining == pretraining


@pytest.mark.parametrize("name", ["IMAGENET", "imagenet1k_v1", ""])
def test_unknown_published_weights_are_answered_with_those_that_are_known(name):
    assert refusal(source(f"resnet18:weights={name}").network) == (
        f"--backbone: resnet18 has no weights '{name}': known are random, IMAGENET1K_V1, DEFAULT, "
        "or a .safetensors or .pth file"
    )


def test_published_weights_are_loaded_by_name(monkeypatch):
    torch.manual_seed(3)
    published = resnet18().state_dict()
    asked = []
    weights = torchvision.models.ResNet18_Weights
    monkeypatch.setattr(weights, "get_state_dict", lambda self, **options: asked.append((self, options)) or published)
    network = source("resnet18:weights=IMAGENET1K_V1").network()
    assert all(torch.equal(tensor, published[name]) for name, tensor in network.backbone.state_dict().items())
    assert asked == [(weights.IMAGENET1K_V1, {"progress": False, "check_hash": True})]


def test_published_weights_with_earlier_names_are_loaded(monkeypatch):
    """The published file of densenet121 was saved when its layers had names with a dot more."""
    torch.manual_seed(3)
    today = torchvision.models.densenet121().state_dict()
    earlier = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): value for name, value in today.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in earlier
    weights = torchvision.models.DenseNet121_Weights
    monkeypatch.setattr(weights, "get_state_dict", lambda self, **options: earlier)
    network = source("densenet121:weights=DEFAULT:until=features.denseblock1").network()
    assert all(torch.equal(tensor, today[name]) for name, tensor in network.backbone.state_dict().items())


def test_without_a_network_a_file_is_asked_for(monkeypatch):
    def unreachable(self, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", unreachable)
    message = refusal(source("resnet18:weights=DEFAULT").network)
    assert "the weights DEFAULT of resnet18 could not be downloaded (<urlopen error no route to host>)" in message
    assert message.endswith("give a local file with resnet18:weights=FILE")


def test_random_weights_are_the_same_every_time():
    first, second = (source("squeezenet1_1").network() for _ in range(2))
    assert all(torch.equal(a, b) for (_, _, a), (_, _, b) in zip(first.tensors(), second.tensors(), strict=True))


@pytest.mark.parametrize(
    ("text", "file", "features"),
    [
        ("resnet18:until=layer3", "resnet18_to_layer3", 256),
        ("mobilenet_v2", "mobilenet_v2", 1280),
        ("squeezenet1_1", "squeezenet1_1", 512),
    ],
)
def test_real_weights_load_and_tell_images_apart(shared_data: Path, text, file, features):
    path = shared_data / "backbones" / f"{file}.pth"
    network = source(f"{text}:weights={path}").network().eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        found = network.features(images)
    assert found.shape == (2, features)
    assert found.isfinite().all()
    assert not torch.allclose(found[0], found[1])
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    stored = torch.load(path, weights_only=True)
    name = next(key for key, tensor in stored.items() if tensor.ndim == 4)
    assert torch.equal(convs[0].weight, stored[name].float())
