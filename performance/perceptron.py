"""The perceptron of many articles on continual learning (two layers of 100 units), for the harness and Avalanche."""

from __future__ import annotations

import copy

import torch
from avalanche.models import MultiHeadClassifier, MultiTaskModule
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import interpolate

from benchmark.images.labelled import LabelledImages
from benchmark.streams.base import Task
from methods.network import Network

SIZE, HIDDEN = 28, 100


def perceptron(seed: int) -> Network:
    """Its two layers as a backbone: uint8 images [N, 1, 28, 28] -> features [N, 100]."""
    torch.manual_seed(seed)
    layers = (nn.Linear(SIZE * SIZE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
    backbone = nn.Sequential(nn.Flatten(), *layers)
    return Network(backbone, HIDDEN, mean=(0.5,), std=(0.5,))


def digits(images: int) -> Task:
    """scikit-learn's digits, enlarged, in random order: the first `images` for training, the last 297 for the test."""
    source = load_digits()
    order = torch.randperm(len(source.target), generator=torch.Generator().manual_seed(0))
    small = torch.tensor(source.images, dtype=torch.float32)[order, None] * (255 / 16)
    enlarged = interpolate(small, size=SIZE, mode="bilinear").round().to(torch.uint8)
    labels = torch.tensor(source.target)[order]
    train, test = (LabelledImages(enlarged[part], labels[part]) for part in (slice(images), slice(-297, None)))
    return Task("digits", tuple(map(str, range(10))), train, test, test)


def as_floats(network: Network, data: LabelledImages) -> LabelledImages:
    """Images that are normalised once, so that Avalanche need not do it."""
    images = torch.addcmul(network.get_buffer("shift"), data.images.float(), network.get_buffer("scale"))
    return LabelledImages(images, data.labels)


class SingleHeadPerceptron(nn.Sequential):
    """The same network with one head for all tasks, on normalised images."""

    def __init__(self, network: Network, classes: int):
        super().__init__(copy.deepcopy(network.backbone), nn.Linear(network.feature_dim, classes))


class MultiHeadPerceptron(MultiTaskModule):
    """The same network with a head per task, on normalised images and the tasks' labels."""

    def __init__(self, network: Network, classes: int):
        super().__init__()
        self.backbone = copy.deepcopy(network.backbone)
        # All heads have the same width, so no unit needs a mask.
        self.heads = MultiHeadClassifier(network.feature_dim, classes, masking=False)

    def forward(self, images: Tensor, task_labels: Tensor) -> Tensor:
        return self.heads(self.backbone(images), task_labels)
