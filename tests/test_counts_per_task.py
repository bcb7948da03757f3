"""What a task adds with the methods on a frozen backbone: for ViT-B/16, ResNet-50 and ConvNeXt-T, summed by hand."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn
from torchvision.models import vit_b_16

from benchmark.backbones import backbones
from benchmark.images.labelled import LabelledImages
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.operations import inference_operations_per_image
from benchmark.learning.training import Training
from benchmark.planning.estimate import without_values
from benchmark.streams.base import Task
from methods.configured import configure
from methods.errors import UserError
from methods.network import Network

META = torch.device("meta")

# ViT-B/16: tokens of D values, M in the perceptrons, 12 blocks, N tokens of an image of 224 x 224.
D, M, BLOCKS, N = 768, 3_072, 12, 1 + 14 * 14
# The outputs of a block's layers: norm, queries with keys and values, projection, norm, and two of the perceptron.
OUTPUTS = D + 3 * D + D + D + M + D
VIT = {
    "norm-only": 38_400,
    "bn-only": 38_400,
    "bitfit": D + BLOCKS * OUTPUTS + D,
    "ssf": 2 * (D + BLOCKS * OUTPUTS + D),
    "lora": 294_912,
    "lora:rank=3": BLOCKS * 2 * 3 * (D + D),
    "lora:targets=qkv": BLOCKS * 3 * 8 * (D + D),
    "lora:targets=all": BLOCKS * 8 * (4 * (D + D) + (D + M) + (M + D)),
    "adapter": 1_189_632,
    "adapter:bottleneck=8": BLOCKS * (D * 8 + 8 + 8 * D + D),
    "vpt:depth=shallow": 10 * D,
    "vpt:depth=deep": 12 * 10 * D,
    "vpt:tokens=7": 12 * 7 * D,
    "clr": 12 * 9 * D + 38_400,
    "clr-full": 12 * 9 * D + 38_400,
    "clr-mixed": 12 * 9 * D + 38_400,
}

# ResNet-50: (blocks, width) of its stages. The first block of a stage has a fourth convolution, beside the others.
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))
CHANNELS = 64 + sum(blocks * (width + width + 4 * width) + 4 * width for blocks, width in STAGES)
RESNET = {
    "norm-only": 4 * CHANNELS,
    "bn-only": 4 * CHANNELS,
    "bitfit": CHANNELS,
    "bitfit:bn=per-task": 4 * CHANNELS,
    # After each convolution, and after the normalisation that follows each.
    "ssf": 2 * (2 * CHANNELS),
    "ssf:bn=per-task": 2 * (2 * CHANNELS) + 2 * CHANNELS,
    # Beside the 7 x 7 convolution and the 3 x 3 of each block.
    "adapter": (3 + 64) * 64 + 64 + 64 + sum(blocks * ((w + w) * 64 + 64 + w) for blocks, w in STAGES),
    "clr": 9 * (64 + sum(blocks * width for blocks, width in STAGES)) + 4 * CHANNELS,
}

# ConvNeXt-T: (blocks, width). The first convolution and those between stages have a norm each, and so has the end.
PARTS = ((3, 96), (3, 192), (9, 384), (3, 768))
DEEP = sum(blocks * width for blocks, width in PARTS)
BETWEEN = 192 + 384 + 768
NORMS = 96 + DEEP + (96 + 192 + 384)
CONVS = 96 + DEEP + BETWEEN
LINEAR = 4 * DEEP + DEEP
CONVNEXT = {
    "norm-only": 2 * NORMS,
    "bitfit": NORMS + CONVS + LINEAR,
    "ssf": 2 * (NORMS + CONVS + LINEAR),
    # Beside the depthwise convolutions: the others make the image smaller and have no padding.
    "adapter": sum(blocks * ((width + width) * 64 + 64 + width) for blocks, width in PARTS),
    "clr": 9 * CONVS + 2 * NORMS,
}
COUNTS = {"vit_b_16": VIT, "resnet50": RESNET, "convnext_tiny": CONVNEXT}


@cache
def network(name: str) -> Network:
    """Without values."""
    if name != "vit_b_16":
        return backbones.get(name)().network(weights=False).to(META)
    with META:
        backbone = vit_b_16()
        backbone.heads = nn.Flatten(1)
    return Network(backbone, D, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).to(META)


def cell(name: str, spec: str) -> Cell:
    return Cell(network(name), configure(spec).make, 10, 0, META)


@pytest.mark.parametrize(("name", "spec"), [(name, spec) for name, counts in COUNTS.items() for spec in counts])
def test_values_of_a_task(name: str, spec: str) -> None:
    bench = prepare(cell(name, spec), 1)
    assert sum(tensor.numel() for tensor in bench.take("task").values()) == COUNTS[name][spec]
    assert "shared" not in bench.parts.values()
    assert bench.is_same_for_all_tasks, "so that one network serves all evaluations"
    # All the rest is the backbone as given.
    given = {tensor for tensor, _, _ in network(name).tensors()}
    own = {tensor for tensor, part in bench.parts.items() if part == "task"}
    plain = {tensor.replace("parametrizations.", "").removesuffix(".original") for tensor in bench.parts.keys() - own}
    assert plain == given - own


def test_about_a_tenth_of_a_million_biases_and_twice_as_many_for_ssf() -> None:
    assert (VIT["bitfit"], VIT["ssf"], CHANNELS) == (102_912, 205_824, 26_560)


@pytest.mark.parametrize("name", ["resnet50", "convnext_tiny"])
@pytest.mark.parametrize(("method", "told"), [("lora", "use conv-lora"), ("vpt", "the blocks of a transformer")])
def test_what_needs_a_transformer_says_so(name: str, method: str, told: str) -> None:
    with pytest.raises(UserError, match=rf"^{method} cannot be used on this backbone: .*{told}"):
        prepare(cell(name, method), 1)


# Operations of a product of [N, a] and [a, b]: 2 N a b.
BACKBONE = 2 * (14 * 14) * (3 * 16 * 16) * D + BLOCKS * 2 * (N * D * 4 * D + 2 * N * N * D + 2 * N * D * M)
HEAD = 2 * D * 10


@pytest.mark.parametrize(
    ("spec", "extra"),
    [
        *((name, 0) for name in ("linear-probe", "norm-only", "bitfit", "ssf")),
        # Its weights are computed once for all images.
        *((f"lora:targets={targets}", 0) for targets in ("qv", "qkv", "all")),
        ("adapter", BLOCKS * 2 * (2 * N * D * 64)),
        ("adapter:bottleneck=8", BLOCKS * 2 * (2 * N * D * 8)),
        *((f"vpt:depth={depth}", None) for depth in ("shallow", "deep")),
        ("clr", BLOCKS * 2 * (14 * 14) * 9 * D),
    ],
)
def test_operations_of_an_answer(spec: str, extra: int | None) -> None:
    if extra is None:
        more = N + 10
        extra = BLOCKS * 2 * (10 * D * 4 * D + 2 * (more * more - N * N) * D + 2 * 10 * D * M)
    bench = prepare(cell("vit_b_16", spec), 1)
    assert inference_operations_per_image(bench.network, 10, 224) == BACKBONE + HEAD + extra


def trained(spec: str, images: int) -> int:
    """Operations of a step of these images, in the first task."""
    data = LabelledImages(
        torch.empty(images, 3, 224, 224, dtype=torch.uint8, device=META),
        torch.empty(images, dtype=torch.int64, device=META),
    )
    task = Task("one", tuple("abcdefghij"), data, data, data)
    with without_values(configure(spec)):
        one = cell("vit_b_16", spec)
        return learn(one, start(one), task, Training(configure(spec).recipe, 1, images, dry=True)).operations


QKV, SCORES, PROJECTION, PERCEPTRON = (2 * n for n in (N * D * 3 * D, 2 * N * N * D, N * D * D, 2 * N * D * M))


def test_operations_of_a_step_of_adapter() -> None:
    """Nothing before the first adapter needs a gradient; after it inputs do, and the weights of adapters and head."""
    bottleneck = 2 * (2 * N * D * 64)
    forward = BACKBONE + BLOCKS * bottleneck + HEAD
    attention = QKV + 2 * SCORES + PROJECTION
    # The input of the first adapter needs no gradient, so that of its Down is one of the weight alone.
    first = 2 * bottleneck - bottleneck // 2
    others = (BLOCKS - 1) * (attention + PERCEPTRON + 2 * bottleneck)
    assert trained("adapter", 4) == 4 * (forward + first + others + 2 * HEAD)


def test_operations_of_a_step_of_lora() -> None:
    """The gradients of all rows that make queries, keys and values are needed, and give those of A and B."""
    product = 2 * 8 * D * D
    forward = BACKBONE + HEAD
    first = QKV + 2 * SCORES + PROJECTION + PERCEPTRON
    others = (BLOCKS - 1) * (first + QKV)
    assert trained("lora", 4) == 4 * (forward + first + others + 2 * HEAD) + BLOCKS * 2 * 3 * product
