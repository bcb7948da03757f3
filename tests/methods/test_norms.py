"""What counts as a normalisation layer."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torchvision.ops import FrozenBatchNorm2d

from methods.norms import is_norm


class RmsNorm(nn.Module):
    """As timm's: no class of torch."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))


@pytest.mark.parametrize(
    "layer",
    [
        *(nn.BatchNorm1d(3), nn.BatchNorm2d(3), nn.SyncBatchNorm(3), nn.InstanceNorm2d(3, affine=True)),
        *(nn.LayerNorm(3), nn.LayerNorm(3, elementwise_affine=False), nn.GroupNorm(1, 3), nn.RMSNorm(3), RmsNorm()),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_norms(layer):
    assert is_norm(layer)


@pytest.mark.parametrize(
    "layer",
    [
        *(nn.Linear(3, 3), nn.Conv2d(3, 3, 1), nn.LocalResponseNorm(2), FrozenBatchNorm2d(3), nn.ReLU()),
        parametrizations.weight_norm(nn.Linear(3, 3)),
        parametrizations.spectral_norm(nn.Linear(3, 3)).parametrizations.weight[0],
        parametrizations.weight_norm(nn.Linear(3, 3)).parametrizations.weight[0],
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_no_norms(layer):
    assert not is_norm(layer)
