"""Names of tensors in published files of weights, and torchvision's names of the same tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# torchvision's own earlier names, which are in the files that it publishes: of ViT's blocks, and of DenseNet's layers.
_EARLIER = (
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
    (re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.(\d)\."), r"\1\2."),
)

# timm's names of a vision transformer's tensors, which DINO, DINOv2, DeiT and MAE use too.
_OF_TIMM = (
    (re.compile(r"^cls_token$"), "class_token"),
    (re.compile(r"^pos_embed$"), "encoder.pos_embedding"),
    (re.compile(r"^patch_embed\.proj\."), "conv_proj."),
    (re.compile(r"^norm\."), "encoder.ln."),
    (re.compile(r"^head\."), "heads.head."),
    (re.compile(r"^blocks\.(\d+)\.norm([12])\."), r"encoder.layers.encoder_layer_\1.ln_\2."),
    (re.compile(r"^blocks\.(\d+)\.attn\.qkv\."), r"encoder.layers.encoder_layer_\1.self_attention.in_proj_"),
    (re.compile(r"^blocks\.(\d+)\.attn\.proj\."), r"encoder.layers.encoder_layer_\1.self_attention.out_proj."),
    (re.compile(r"^blocks\.(\d+)\.mlp\.fc1\."), r"encoder.layers.encoder_layer_\1.mlp.0."),
    (re.compile(r"^blocks\.(\d+)\.mlp\.fc2\."), r"encoder.layers.encoder_layer_\1.mlp.3."),
)

# The factors of a residual branch (LayerScale), and the layer that computes the branch's output.
_SCALES = ((re.compile(r"\.ls1\.gamma$"), ".attn.proj"), (re.compile(r"\.ls2\.gamma$"), ".mlp.fc2"))

# Tensors that only take part in the pretraining.
_FOR_PRETRAINING = ("mask_token",)


def with_todays_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a network of torchvision, under the names of its present version.

    Args:
        weights: name -> tensor.
    """
    return {_renamed(name, _EARLIER): tensor for name, tensor in weights.items()}


def with_torchvisions_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A vision transformer's weights under torchvision's names.

    The tensors of timm, DINO and DINOv2 are renamed. Each LayerScale is multiplied into the layer before it, which
    gives the same features. Names that torchvision has are kept.

    Args:
        weights: name -> tensor.
    """
    if not any(name.startswith("blocks.") for name in weights):
        return dict(weights)
    folded = _without_scales({name: tensor for name, tensor in weights.items() if name not in _FOR_PRETRAINING})
    return {_renamed(name, _OF_TIMM): tensor for name, tensor in folded.items()}


def _renamed(name: str, rules: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, replacement in rules:
        name, times = pattern.subn(replacement, name)
        if times:
            break
    return name


def _without_scales(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights with each LayerScale [D] multiplied into the rows of its layer, [D, inputs] and [D].

    A LayerScale that its layer cannot be multiplied by stays under its name, which the network does not have.
    """
    for pattern, layer in _SCALES:
        for scale in [name for name in weights if pattern.search(name)]:
            names = [f"{pattern.sub(layer, scale)}.{part}" for part in ("weight", "bias")]
            rows = {name: weights[name] for name in names if name in weights}
            if all(_can_scale(weights[scale], tensor) for tensor in rows.values()):
                gamma = weights.pop(scale)
                weights |= {name: _scaled(tensor, gamma) for name, tensor in rows.items()}
    return weights


def _can_scale(gamma: Tensor, tensor: Tensor) -> bool:
    """Whether `gamma` has a factor for each row of a tensor, and both hold values."""
    ordinary = all(t.is_floating_point() and t.layout == torch.strided and not t.is_meta for t in (gamma, tensor))
    return ordinary and gamma.shape == tensor.shape[:1]


def _scaled(tensor: Tensor, gamma: Tensor) -> Tensor:
    # The product of two numbers of half precision may have no digit left in it.
    kind = torch.promote_types(tensor.dtype, torch.float32)
    return tensor.to(kind) * gamma.to(kind).view(-1, *[1] * (tensor.ndim - 1))
