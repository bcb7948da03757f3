"""Backbones by name: the embedded one, torchvision's, and those that packages add."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.options import construct, parse_spec
from methods.registry import Registry

if TYPE_CHECKING:
    from benchmark.backbones.base import Backbone

backbones: Registry[type[Backbone]] = Registry("backbone", entry_points="continual_benchmark.backbones")
backbones.add_lazy(
    "mini",
    "benchmark.backbones.mini.backbone:MiniBackbone",
    "small ResNet for 32x32, pretrained on generated fractals; shipped",
)
backbones.add_lazy(
    "mini-vit",
    "benchmark.backbones.mini.backbone:MiniViTBackbone",
    "small vision transformer for 32x32, pretrained on generated fractals; shipped",
)
backbones.add_lazy(
    "mlp",
    "benchmark.backbones.mlp:Perceptron",
    "multilayer perceptron with random weights, as on Split MNIST; mlp:hidden=100:layers=2:channels=1:size=28",
)
backbones.add_lazy(
    "conv-mlp",
    "benchmark.backbones.conv_mlp:ConvMLP",
    "five frozen convolutions for 32x32, then layers that learn; conv-mlp:weights=FILE:hidden=2000:layers=2",
)

backbones.add_lazy(
    "timm",
    "benchmark.backbones.timm_nets:TimmBackbone",
    "timm:NAME[:weights=pretrained][:image_size=N] - any network of the package timm, an extra",
)

for _method in ("DINO", "SwAV"):
    backbones.add_lazy(
        f"{_method.lower()}_resnet50",
        f"benchmark.backbones.self_supervised:{_method}ResNet50",
        f"ResNet-50 pretrained by {_method} on ImageNet without labels; downloaded once, or :weights=FILE",
    )

_IMAGENET = "of torchvision; whole or cut (:until=layer3), :weights=random, a name of torchvision's, or a file"
_TORCHVISION = (
    *("alexnet", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    *(f"efficientnet_b{size}" for size in range(8)),
    *("efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    *("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
    *(f"regnet_{kind}_{size}" for kind in "xy" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
    "regnet_y_128gf",
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
    *("squeezenet1_0", "squeezenet1_1"),
    *("swin_b", "swin_s", "swin_t", "swin_v2_b", "swin_v2_s", "swin_v2_t"),
    *("vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
    *("wide_resnet50_2", "wide_resnet101_2"),
)
for _name in _TORCHVISION:
    backbones.add_lazy(_name, f"benchmark.backbones.torchvision_nets:{_name}", f"{_name} {_IMAGENET}")

_FIXED_SIZE = ("maxvit_t", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32")
for _name in _FIXED_SIZE:
    backbones.add_lazy(
        _name,
        f"benchmark.backbones.torchvision_transformers:{_name}",
        f"{_name} of torchvision; for one image size (:image_size=224), :weights=random, a name of torchvision's, or a "
        "file",
    )


def backbone_of(text: str) -> Backbone:
    """The backbone that a specification means; nothing is loaded yet.

    Raises:
        UserError: there is no such backbone or option.
    """
    spec = parse_spec(text)
    return construct(backbones.get(spec.name), spec)
