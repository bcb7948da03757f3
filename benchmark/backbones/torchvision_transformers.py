"""torchvision's networks that take images of one size: vision transformers and MaxViT."""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch
import torchvision.models
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from benchmark.backbones.tensor_names import with_torchvisions_names
from benchmark.backbones.torchvision_nets import TorchvisionBackbone
from methods.errors import UserError

_POSITIONS = "encoder.pos_embedding"


class FixedSizeBackbone(TorchvisionBackbone):
    """A network of torchvision that takes images of one size.

    Args:
        until: the last module to keep; empty for the whole network. Later modules are left out.
        weights: "random", a name of torchvision's weights for this network (IMAGENET1K_V1, DEFAULT), or a .safetensors
            or .pth file.
        image_size: the height and width of its images, in pixels; none for the size of torchvision's weights, or 224.
    """

    def __init__(self, until: str = "", weights: str = "random", image_size: int | None = None):
        super().__init__(until, weights)
        self.image_size = self._size_of_weights() if image_size is None else image_size
        self._check_size(self.image_size)

    def _size_of_weights(self) -> int:
        if self.weights == "random" or self._is_file:
            return 224
        return int(self._chosen().meta["min_size"][0])

    def _check_size(self, size: int) -> None:
        """Raise ValueError if there is no such network for images of this size."""
        multiple = self._multiple()
        if size < 1 or size % multiple:
            raise ValueError(f"image_size={size} is no multiple of {multiple}")

    def _multiple(self) -> int:
        """The image size is a multiple of it."""
        raise NotImplementedError


class MaxViTBackbone(FixedSizeBackbone):
    __doc__ = FixedSizeBackbone.__doc__

    def _multiple(self) -> int:
        # Windows of 7x7 positions, at an image size divided by 2 five times.
        return 7 * 2**5

    def _whole(self) -> nn.Module:
        return torchvision.models.get_model(
            self.architecture, weights=None, input_size=(self.image_size, self.image_size)
        )


class VisionTransformerBackbone(FixedSizeBackbone):
    """A vision transformer of torchvision; its features are the class token.

    Args:
        until: the last block to keep, as `encoder.layers.encoder_layer_5`; empty for the whole network. Later blocks
            and the last normalisation are left out.
        weights: "random", a name of torchvision's weights for this network (IMAGENET1K_V1, DEFAULT), or a .safetensors
            or .pth file, also one with timm's, DINO's or DINOv2's names.
        image_size: the height and width of its images, in pixels; none for the size of torchvision's weights, or 224.
            The position embeddings of weights for another size are interpolated.
    """

    def _multiple(self) -> int:
        return int(self.architecture.rpartition("_")[2])

    def _whole(self) -> nn.Module:
        return torchvision.models.get_model(self.architecture, weights=None, image_size=self.image_size)

    def _cut(self, network: nn.Module) -> list[str]:
        left_out = super()._cut(network)
        if self.until and not self.until.startswith("encoder.l") and self.until != "encoder":
            raise UserError(
                f"--backbone: {self.name} cannot be cut after {self.until}, where the class token has seen no patch; "
                "cut after a block, as until=encoder.layers.encoder_layer_5"
            )
        return left_out

    def _fitted(self, weights: dict[str, Tensor], modules: nn.Module, source: str) -> dict[str, Tensor]:
        weights = with_torchvisions_names(weights)
        given, wanted = weights.get(_POSITIONS), modules.state_dict()[_POSITIONS]
        if given is None or not _differs_in_length(given, wanted):
            return weights
        assert self.image_size
        patch, before = self._multiple(), isqrt(max(given.shape[1] - 1, 0))
        if before == 0 or given.shape[1] != before**2 + 1:
            raise UserError(
                f"--backbone: {source} does not fit: '{_POSITIONS}' has {given.shape[1]} positions, which are no class "
                f"token and a square of patches"
            )
        resized: Any = {_POSITIONS: given.float()}
        interpolate_embeddings(self.image_size, patch, resized)
        after = self.image_size // patch
        self.warn(
            f"--backbone: the position embeddings of {source} are for {before}x{before} patches, and here they are "
            f"interpolated to {after}x{after}"
        )
        return {**weights, **resized}


def _differs_in_length(given: Tensor, wanted: Tensor) -> bool:
    """Whether position embeddings [1, N, D] have another N than the network's, and nothing else that does not fit."""
    ordinary = given.is_floating_point() and given.layout == torch.strided and not given.is_meta
    return ordinary and given.ndim == 3 and given.shape[1] != wanted.shape[1] and given.shape[::2] == wanted.shape[::2]


def __getattr__(name: str) -> type[FixedSizeBackbone]:
    """The class of the network `name`: the registry's lazy entries end here."""
    base = {"vit": VisionTransformerBackbone, "maxvit": MaxViTBackbone}.get(name.partition("_")[0])
    if base is None or name not in torchvision.models.list_models(module=torchvision.models):
        raise AttributeError(name)
    return type(name, (base,), {"__doc__": base.__doc__, "architecture": name})
