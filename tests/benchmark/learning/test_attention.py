"""Attention: its operations, counted by hand, are the same however it is computed; so are its bits in each evaluation.

A product of [L, D] and [D, K] takes 2 L D K operations. A backward pass takes as many again for each factor that needs
a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from torchvision.models import MaxVit, SwinTransformer, VisionTransformer, swin_transformer, vit_b_16

from benchmark.learning.counter import OperationCounter
from benchmark.learning.evaluation import evaluate
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.operations import inference_operations_per_image, training_operations_per_image
from benchmark.learning.precision import arithmetic, computing
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.configured import configure
from methods.network import Network

CPU, META = torch.device("cpu"), torch.device("meta")
IMAGES, CLASSES = 2, 3


def vit() -> nn.Module:
    """5 tokens of 8 values."""
    return VisionTransformer(8, 4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=CLASSES)


def swin() -> nn.Module:
    """16 tokens of 8 values in windows of 4, then 4 of 16 values."""
    return SwinTransformer([4, 4], 8, [2, 2], [2, 2], [2, 2], num_classes=CLASSES, stochastic_depth_prob=0.0)


def swin_v2() -> nn.Module:
    block, merging = swin_transformer.SwinTransformerBlockV2, swin_transformer.PatchMergingV2
    more: dict[str, Any] = {"block": block, "downsample_layer": merging, "stochastic_depth_prob": 0.0}
    return SwinTransformer([4, 4], 8, [2, 2], [2, 2], [2, 2], num_classes=CLASSES, **more)


def maxvit() -> nn.Module:
    """16 tokens of 8 values, in windows of 4 and in grids of 4."""
    return MaxVit((16, 16), 4, 2, [8], [1], 4, 0.0, num_classes=CLASSES)


def timm_vit(fused: bool) -> nn.Module:
    models = pytest.importorskip("timm.models")
    network: nn.Module = models.VisionTransformer(8, 4, embed_dim=8, depth=2, num_heads=2, mlp_ratio=2, num_classes=3)
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = fused
    return network


def block(tokens: int, others: int, width: int, hidden: int) -> int:
    """A block's operations: each token makes q, k and v, looks at `others` tokens, is projected, has a perceptron."""
    projections = 2 * tokens * width * (3 * width + width)
    return projections + 2 * (2 * tokens * others * width) + 2 * (2 * tokens * width * hidden)


#: Operations of the first layer, whose input needs no gradient, and of all others, for an image.
VIT = 2 * 4 * 8 * 48, 2 * block(5, 5, 8, 16) + 2 * 8 * CLASSES
SWIN = 2 * 16 * 8 * 48, 2 * block(16, 4, 8, 32) + 2 * 4 * 32 * 16 + 2 * block(4, 4, 16, 64) + 2 * 16 * CLASSES
MAXVIT = (
    2 * 64 * 4 * 27,
    2 * 64 * 4 * 36  # the second convolution of the stem
    + 2 * 16 * 4 * 8  # beside the inverted bottleneck
    + 2 * (64 * 4 * 32 + 16 * 32 * 9 + 2 * 32 * 2 + 16 * 32 * 8)  # the bottleneck, with squeeze and excitation
    + 2 * block(16, 4, 8, 32)
    + 2 * (8 * 8 + 8 * CLASSES),
)
# Relative positions of tokens in a window, 9 of 2 values, go through a perceptron with 512 hidden units in each of the
# four blocks, once in a pass. Its input needs no gradient.
POSITIONS_FIRST, POSITIONS_REST = 4 * 2 * 9 * 2 * 512, 4 * 2 * 9 * 512 * 2

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, tuple[int, int], tuple[int, int]]] = {
    "vit": (vit, 8, VIT, (0, 0)),
    "swin": (swin, 16, SWIN, (0, 0)),
    "swin-v2": (swin_v2, 16, SWIN, (POSITIONS_FIRST, POSITIONS_REST)),
    "maxvit": (maxvit, 16, MAXVIT, (0, 0)),
    "timm": (lambda: timm_vit(False), 8, VIT, (0, 0)),
    "timm-fused": (lambda: timm_vit(True), 8, VIT, (0, 0)),
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("device", [CPU, META], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_passes_of_a_transformer(name: str, device: torch.device, precision: Any) -> None:
    make, size, image, once = NETWORKS[name]
    network = make().to(device)
    images = torch.zeros(IMAGES, 3, size, size, device=device)
    first, rest = (IMAGES * of_image + of_pass for of_image, of_pass in zip(image, once, strict=True))
    with arithmetic(precision, device):
        for context in (torch.no_grad, torch.inference_mode):
            with context(), computing(precision, CPU), OperationCounter() as counter:
                network.eval()(images)
            assert counter.get_total_flops() == first + rest
        with OperationCounter() as counter, computing(precision, CPU):
            logits = network.train()(images)
        assert counter.get_total_flops() == first + rest
        with OperationCounter() as counter:
            cross_entropy(logits.float(), torch.zeros(IMAGES, dtype=torch.int64, device=device)).backward()
        assert counter.get_total_flops() == first + 2 * rest


@pytest.mark.parametrize("device", [CPU, META], ids=str)
def test_frozen_layers_save_the_gradients_of_their_weights(device: torch.device) -> None:
    """Only the second block's perceptron and what comes after it has a backward pass; or all but weights have."""
    network = vit().to(device).requires_grad_(False)
    images = torch.zeros(IMAGES, 3, 8, 8, device=device)

    def backward() -> int:
        with arithmetic("fp32", device), OperationCounter() as counter:
            network(images).sum().backward()
        return counter.get_total_flops() // IMAGES - sum(VIT)

    layer, head = 2 * 5 * 8 * 16, 2 * 8 * CLASSES
    network.encoder.layers[1].mlp[0].weight.requires_grad_(True)  # type: ignore[index, union-attr]
    assert backward() == layer + layer + head, "the gradients of the weight, of what follows, of the head's input"
    network.requires_grad_(False)
    network.class_token.requires_grad_(True)  # type: ignore[union-attr, operator]
    attention = 2 * (2 * 5 * 5 * 8)
    assert backward() == VIT[1] + 2 * attention, "products of weights need one gradient, those of attention two"


@pytest.mark.parametrize("device", [CPU, META], ids=str)
@pytest.mark.parametrize("wanted", [which for which in product((False, True), repeat=3) if any(which)])
def test_the_gradients_that_attention_gives(device: torch.device, wanted: tuple[bool, ...]) -> None:
    """4 queries look at 6 keys of 5 values; the values are of the same length. Both products are 2 x 4 x 6 x 5."""
    shapes = ((1, 2, 4, 5), (1, 2, 6, 5), (1, 2, 6, 5))
    given = [torch.ones(shape, device=device, requires_grad=one) for shape, one in zip(shapes, wanted, strict=True)]
    with arithmetic("fp32", device), OperationCounter() as counter:
        scaled_dot_product_attention(*given).sum().backward()
    query, key, value = wanted
    # The softmax needs a gradient if queries or keys do.
    gradients = query + key + value + (query or key)
    assert counter.get_total_flops() == (2 + gradients) * 2 * (2 * 4 * 6 * 5)


def network_of(backbone: nn.Module, width: int) -> Network:
    return Network(backbone, width, (0.5,) * 3, (0.25,) * 3)


def without_head(network: nn.Module) -> nn.Module:
    network.heads = nn.Flatten(1)
    return network


def test_vit_b_16_has_17_56_billion_multiplications() -> None:
    """196 patches and a class token; D = 768, 12 blocks: 12 L D^2 + 2 L^2 D each. It is what torchvision publishes."""
    with META:
        network = network_of(without_head(vit_b_16()), 768)
    multiplications = 196 * 768 * 768 + 12 * (12 * 197 * 768**2 + 2 * 197**2 * 768) + 768 * 1000
    assert multiplications == 17_563_828_224
    assert inference_operations_per_image(network, 1000, 224) == 2 * multiplications
    stem = 196 * 768 * 768
    assert training_operations_per_image(network, 1000, 224) == 2 * (3 * multiplications - stem)


def test_a_run_counts_what_is_computed_without_data(tiny_tasks: tuple[Task, ...]) -> None:
    """The steps of `sgd`, and an evaluation: as many operations as the passes without data say."""
    torch.manual_seed(0)
    task, method = tiny_tasks[0], configure("sgd")
    cell = Cell(network_of(without_head(vit()), 8), method.make, CLASSES, 0, CPU)
    learned = learn(cell, start(cell), task, Training(method.recipe, epochs=2, batch_size=20))
    head = 2 * 8 * (len(task.classes) - CLASSES)
    once = VIT[0] + VIT[1] + head
    assert training_operations_per_image(cell.pristine, len(task.classes), 8) == 3 * once - VIT[0]
    assert learned.operations == 2 * len(task.train) * (3 * once - VIT[0])
    network = network_of(without_head(vit()), 8)
    network.heads.add("1", CLASSES)
    network.use_head("1", CLASSES)
    with OperationCounter() as counter:
        evaluate(network.eval(), task.test, CPU)
    assert counter.get_total_flops() == len(task.test) * sum(VIT)
    assert inference_operations_per_image(network, CLASSES, 8) == sum(VIT)


@contextmanager
def attention_settings(**changed: bool) -> Iterator[None]:
    before = settings()
    apply(settings() | changed)
    try:
        yield
    finally:
        apply(before)


def settings() -> dict[str, bool]:
    """What torch says of the ways of computing attention."""
    cuda = torch.backends.cuda
    return {
        "own": torch.backends.mha.get_fastpath_enabled(),
        "flash": cuda.flash_sdp_enabled(),
        "efficient": cuda.mem_efficient_sdp_enabled(),
        "cudnn": cuda.cudnn_sdp_enabled(),
        "math": cuda.math_sdp_enabled(),
    }


def apply(values: dict[str, bool]) -> None:
    cuda = torch.backends.cuda
    torch.backends.mha.set_fastpath_enabled(values["own"])
    cuda.enable_flash_sdp(values["flash"])
    cuda.enable_mem_efficient_sdp(values["efficient"])
    cuda.enable_cudnn_sdp(values["cudnn"])
    cuda.enable_math_sdp(values["math"])


def test_on_a_gpu_attention_has_gradients_that_are_the_same_each_time() -> None:
    """Those of flash, efficient and cuDNN's attention are not; on the CPU, flash is."""
    with attention_settings(math=False):
        before = settings()
        with arithmetic("bf16", torch.device("cuda")):
            assert [name for name, allowed in settings().items() if allowed] == ["math"]
        with arithmetic("fp32", CPU):
            assert [name for name, allowed in settings().items() if allowed] == ["flash", "math"]
        assert settings() == before


def logits(network: nn.Module, images: Tensor) -> Tensor:
    with arithmetic("fp32", CPU), torch.inference_mode():
        answered: Tensor = network.eval()(images)
    return answered


@pytest.mark.parametrize("changed", [{"own": False}, {"flash": False}, {"math": False}], ids=str)
def test_answers_have_the_same_bits_whatever_the_program_allows(changed: dict[str, bool]) -> None:
    torch.manual_seed(0)
    network, images = vit(), torch.rand(4, 3, 8, 8)
    nn.init.normal_(network.heads[0].weight)  # type: ignore[index, union-attr, arg-type]
    expected = logits(network, images)
    assert expected.std() > 0
    with attention_settings(**changed):
        assert torch.equal(logits(network, images), expected)
    with arithmetic("fp32", CPU):
        assert torch.equal(network.eval()(images), expected), "evaluation and training compute in the same way"
