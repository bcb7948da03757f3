"""The embedded backbone: a small residual network whose pretrained weights ship with the package."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1

#: Per-channel mean and standard deviation by which inputs in [0, 1] are normalised.
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)

#: The pretrained weights, made by `benchmark.backbones.mini.pretrain`.
WEIGHTS = Path(__file__).with_name("mini.safetensors")


class MiniResNet(nn.Module):
    """A residual network (He et al., 2015, arXiv 1512.03385) of 0.29 million parameters, named as torchvision's.

    Maps normalised float [N, 3, H, W], H and W at least 16, to features [N, 128]. A third of a ResNet-18's depth and a
    stride-2 stem without pooling: a training step on 32 images of 32x32 takes about 20 ms on two CPU cores.
    """

    #: Length of the feature vector.
    features = 128

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(BasicBlock(24, 24))
        self.layer2 = nn.Sequential(BasicBlock(24, 64, 2, _shortcut(24, 64)))
        self.layer3 = nn.Sequential(BasicBlock(64, self.features, 2, _shortcut(64, self.features)))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return torch.flatten(self.avgpool(x), 1)


def _shortcut(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv1x1(inputs, outputs, stride=2), nn.BatchNorm2d(outputs))
