"""The embedded transformer: a small vision transformer whose pretrained weights ship with the package."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from torchvision.models.vision_transformer import ConvStemConfig, VisionTransformer

#: The pretrained weights, made by `benchmark.backbones.mini.pretrain`.
WEIGHTS = Path(__file__).with_name("mini-vit.safetensors")


class MiniViT(VisionTransformer):
    """A vision transformer (Dosovitskiy et al., 2020, arXiv 2010.11929) of 0.33 million parameters, torchvision's.

    Maps normalised float [N, 3, 32, 32] to features [N, 64], the class token after the last block. The patches of 4x4
    pixels come from two convolutions of stride 2 (Xiao et al., 2021, arXiv 2106.14881), here without batch
    normalisation, so that the network has only LayerNorms, as larger vision transformers.
    """

    #: Length of the feature vector, and the only height and width of images, in pixels.
    features = 64
    size = 32

    def __init__(self) -> None:
        stem = [ConvStemConfig(width, 3, 2, norm_layer=None) for width in (32, self.features)]
        super().__init__(
            image_size=self.size,
            patch_size=4,
            num_layers=6,
            num_heads=4,
            hidden_dim=self.features,
            mlp_dim=4 * self.features,
            conv_stem_configs=stem,
        )
        self.heads = nn.Flatten(1)
