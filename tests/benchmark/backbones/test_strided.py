"""1x1 convolutions with a stride: the numbers of torch's definition, and a process that survives their gradient."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d
from torch.nn.utils.parametrizations import weight_norm

from benchmark.backbones.strided import RiskyConvolutions, subsample_first
from benchmark.images.labelled import LabelledImages
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.operations import OperationCounter
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.configured import configure
from methods.network import Network

ROOT = Path(__file__).parents[3]


def risky(layer: nn.Module, size: int = 8, channels: int = 4) -> list[tuple[int, int]]:
    with RiskyConvolutions() as watch:
        layer(torch.ones(2, channels, size, size))
    return watch.found


class Standardised(nn.Conv2d):
    """Weights of mean 0, as some networks have them."""

    def forward(self, images: Tensor) -> Tensor:
        return self._conv_forward(images, self.weight - self.weight.mean(1, keepdim=True), self.bias)


@pytest.mark.parametrize("stride", [2, 3, (1, 2), (4, 1)], ids=str)
@pytest.mark.parametrize("size", [7, 8, 12])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_the_stride(stride: int | tuple[int, int], size: int, bias: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 6, 1, stride, bias=bias, dtype=torch.float64)
    names = list(conv.state_dict())
    subsample_first(conv)
    assert list(conv.state_dict()) == names
    tensors = [p.detach().clone().requires_grad_() for p in conv.parameters()]
    images = torch.randn(3, 5, size, size, dtype=torch.float64, requires_grad=True)
    same = images.detach().clone().requires_grad_()
    output, expected = conv(images), conv2d(same, *tensors, stride=stride)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-13)
    direction = torch.randn_like(expected)
    (output * direction).sum().backward()
    (expected * direction).sum().backward()
    for parameter, tensor in zip([images, *conv.parameters()], [same, *tensors], strict=True):
        torch.testing.assert_close(parameter.grad, tensor.grad, rtol=1e-12, atol=1e-13)


def test_weights_that_are_computed_stay_so() -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 4, 8, 8)
    for conv in (Standardised(4, 6, 1, stride=2), weight_norm(nn.Conv2d(4, 6, 1, stride=2))):
        assert risky(conv) == [(2, 4)]
        expected = conv(images)
        subsample_first(conv)
        torch.testing.assert_close(conv(images), expected)
        assert risky(conv) == []


def test_a_copy_computes_with_its_own_weights() -> None:
    conv = nn.Conv2d(4, 6, 1, stride=2, bias=False)
    subsample_first(conv)
    twin = copy.deepcopy(conv)
    with torch.no_grad():
        twin.weight.zero_()
    images = torch.ones(1, 4, 8, 8)
    assert not twin(images).any()
    assert conv(images).any()


class Own(nn.Conv2d):
    """Arithmetic that nobody else knows."""

    def _conv_forward(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(images, 2 * weight, bias)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(16, 6, 1, stride=2),
        nn.Conv2d(16, 6, 1),
        nn.Conv2d(16, 6, 3, stride=2),
        nn.Conv2d(16, 16, 1, stride=2, groups=16),
        nn.Conv2d(4, 6, 1, stride=2, padding=1),
        Own(4, 6, 1, stride=2),
    ],
    ids=str,
)
def test_others_are_left_as_they_are(conv: nn.Conv2d) -> None:
    subsample_first(conv)
    assert "_conv_forward" not in vars(conv)


class Functional(nn.Module):
    """A layer that calls torch by itself, and a transposed convolution: nothing that can be mended."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(6, 4, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return conv_transpose2d(conv2d(images, self.weight, stride=3), self.weight, stride=2)


def test_what_cannot_be_mended_is_found() -> None:
    layer = Functional()
    subsample_first(layer)
    assert risky(layer) == [(3, 4), (2, 4)]
    assert risky(layer.to("meta").to_empty(device="cpu"), size=9) == [(3, 4), (2, 4)]


class Shortcut(nn.Module):
    """A residual block of a small network: 3 -> 6 channels, half the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.shortcut = nn.Conv2d(3, 6, 1, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        return (self.conv(images) + self.shortcut(images)).mean((2, 3))


def small_network() -> Network:
    torch.manual_seed(0)
    return Network(Shortcut(), 6, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


# Output positions x output channels x inputs that each sees, of the two convolutions of the block.
BLOCK = (4 * 4) * 6 * (3 * 9 + 3)


@pytest.mark.parametrize(
    ("spec", "forward", "backward"),
    [
        ("sgd", BLOCK, BLOCK),
        ("packnet", BLOCK, BLOCK),
        # Beside the 3x3 convolution; the input needs no gradient.
        ("residual-adapters:form=parallel", BLOCK + (4 * 4) * 6 * 3, (4 * 4) * 6 * 3),
    ],
)
def test_a_method_trains_without_risk_and_at_the_same_cost(spec: str, forward: int, backward: int) -> None:
    bench = prepare(Cell(small_network(), configure(spec).make, 2, 0, torch.device("cpu")), 1)
    images = torch.ones(2, 3, 8, 8, dtype=torch.uint8)
    with RiskyConvolutions() as watch, OperationCounter() as counter:
        bench.network.features(images).sum().backward()
    assert watch.found == []
    assert counter.get_total_flops() == 2 * 2 * (forward + backward), "a multiplication and an addition, two images"


def steps() -> None:
    """Twenty steps of two methods on the small network."""
    torch.set_num_threads(1)
    split = LabelledImages(torch.zeros(80, 3, 64, 64, dtype=torch.uint8), torch.arange(80) % 2)
    task = Task("task", ("a", "b"), split, split, split)
    for spec in ("sgd", "residual-adapters:form=parallel"):
        method = configure(spec)
        cell = Cell(small_network(), method.make, 2, 0, torch.device("cpu"))
        learn(cell, start(cell), task, Training(method.recipe, epochs=2, batch_size=8))


@pytest.mark.parametrize("instructions", ["AVX2", "ALL"])
def test_a_process_survives_the_gradient(instructions: str) -> None:
    """With the instructions of older processors, too. Elsewhere than on x86 the variable means nothing."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


if __name__ == "__main__":
    steps()
