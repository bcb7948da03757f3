"""Operations against counts made by hand, and the published numbers of METHODS.md."""

from __future__ import annotations

from functools import cache

import pandas as pd
import pytest
import torch
from torch import nn

from benchmark.backbones import backbones
from benchmark.config import Settings
from benchmark.cost import (
    OperationCounter,
    inference_operations_per_image,
    peak_memory,
    tensor_bytes,
    training_operations_per_image,
)
from benchmark.estimate import StreamShape, estimate
from benchmark.model import Network
from methods.errors import UserError

conv = nn.Conv2d


@pytest.mark.parametrize(
    ("layer", "size", "multiplications"),
    [
        # Output positions x output channels x inputs that each sees.
        (conv(3, 8, 3, padding=1), 6, (6 * 6) * 8 * (3 * 9)),
        (conv(3, 8, 3), 6, (4 * 4) * 8 * (3 * 9)),
        (conv(3, 8, 3, stride=2, padding=1), 6, (3 * 3) * 8 * (3 * 9)),
        (conv(3, 8, 1), 6, (6 * 6) * 8 * 3),
        (conv(3, 8, (1, 3), stride=(2, 1)), 6, (3 * 4) * 8 * (3 * 3)),
        (conv(6, 8, 3, padding=1, groups=2), 6, (6 * 6) * 8 * (3 * 9)),
        (conv(6, 6, 3, padding=1, groups=6), 6, (6 * 6) * 6 * 9),
        (conv(6, 12, 3, stride=2, padding=1, groups=6), 6, (3 * 3) * 12 * 9),
        # Transposed: input positions x input channels x outputs that each reaches.
        (nn.ConvTranspose2d(6, 8, 3), 5, (5 * 5) * 6 * (8 * 9)),
        (nn.ConvTranspose2d(6, 8, 4, stride=2), 5, (5 * 5) * 6 * (8 * 16)),
        (nn.ConvTranspose2d(6, 8, 3, stride=2, groups=2), 5, (5 * 5) * 6 * (4 * 9)),
    ],
    ids=str,
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_convolution_costs_its_multiplications_each_way(layer, size, multiplications, device):
    """Two operations, a multiplication and an addition; forward, for the input's gradient, for the weight's."""
    batch, once = 2, 2 * 2 * multiplications
    channels = layer.in_channels
    layer.to(device)

    def passes(images: bool, weights: bool) -> tuple[int, int]:
        layer.weight.requires_grad_(weights)
        with OperationCounter() as forward:
            output = layer(torch.ones(batch, channels, size, size, device=device, requires_grad=images))
        with OperationCounter() as backward:
            output.sum().backward()
        return forward.get_total_flops(), backward.get_total_flops()

    assert passes(images=True, weights=True) == (once, 2 * once)
    assert passes(images=False, weights=True) == (once, once)
    assert passes(images=True, weights=False) == (once, once)
    assert passes(images=False, weights=False) == (once, 0), "the bias alone costs additions only"


def test_a_linear_layer_costs_its_multiplications_each_way():
    layer = nn.Linear(5, 7)
    with OperationCounter() as counter:
        layer(torch.ones(3, 5, requires_grad=True)).sum().backward()
    assert counter.get_total_flops() == 3 * (2 * 3 * 5 * 7)


def test_a_network_by_hand(tiny_network: Network):
    """At 8x8: 64 positions x 6 x 27, 64 x 5 x 6, and a head of 5 x 4. The images need no gradient."""
    stem, point, head = 64 * 6 * 27, 64 * 5 * 6, 5 * 4
    assert inference_operations_per_image(tiny_network, 4, 8) == 2 * (stem + point + head)
    assert training_operations_per_image(tiny_network, 4, 8) == 2 * (2 * stem + 3 * point + 3 * head)


def test_counting_leaves_the_network_as_it_was(tiny_network: Network):
    tiny_network.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in tiny_network.state_dict().items()}
    training_operations_per_image(tiny_network, 4, 8)
    inference_operations_per_image(tiny_network, 4, 8)
    assert not tiny_network.heads.rows
    assert not any(p.requires_grad for p in tiny_network.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny_network.state_dict().items())


def test_images_that_are_too_small_for_the_backbone_are_refused():
    with torch.device("meta"):
        network = backbones.get("vgg11")().network(weights=False)
    with pytest.raises(UserError, match="--image-size 16 does not suit the backbone, try a larger one: ") as caught:
        training_operations_per_image(network, 2, 16)
    assert "\n" not in str(caught.value)


def test_bytes_of_tensors():
    assert tensor_bytes({"a": torch.zeros(3, 2), "b": torch.zeros(5, dtype=torch.uint8), "c": torch.tensor(1)}) == 37


def test_peak_memory_sees_what_a_block_held():
    with peak_memory(torch.device("cpu")) as peak:
        held = torch.ones(64, 2**20, dtype=torch.uint8)
        del held
    if peak.bytes is None:
        pytest.skip("the system does not say")
    assert 48 * 2**20 < peak.bytes < 128 * 2**20


# The symbol table of the networks: parameters, convolution weights, output channels of all convolutions and of those
# that are not 1x1, and the sum of C_in k k; classifiers excluded.
SYMBOLS = {
    "resnet18": {"P": 11_176_512, "W": 11_166_912, "C": 4_800, "C3": 3_904, "K": 31_123},
    "resnet50": {"P": 23_508_032, "W": 23_454_912, "C": 26_560, "C3": 3_840, "K": 52_883},
}
# Float32 values of state that each task adds, heads left out.
PER_TASK = {
    "resnet18": {
        "clr": 54_336,
        "clr-mixed": 55_232,
        "clr-full": 62_400,
        "bn-only": 19_200,
        "ewc": 2 * 11_176_512,
        "ewc:storage=summed": 0,
        "online-ewc": 0,
        "er": 0,
        "sgd": 0,
        "sgd-ll": 0,
        "linear-probe": 0,
    },
    "resnet50": {"clr": 140_800, "clr-mixed": 163_520, "clr-full": 345_280, "bn-only": 106_240},
}
# As a percentage of the backbone's parameters, in the digits that METHODS.md gives.
PERCENT = {
    "resnet18": {"clr": "0.486", "clr-mixed": "0.494", "clr-full": "0.558", "bn-only": "0.172", "ewc": "200.000"},
    "resnet50": {"clr": "0.599", "clr-mixed": "0.696", "clr-full": "1.469", "bn-only": "0.452"},
}


@cache
def tables(backbone: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tasks of 32 images at 64x64; proportions hardly depend on the size."""
    settings = Settings(methods=tuple(PER_TASK[backbone]), backbone=backbone, epochs=8)
    parameters, compute = estimate(settings, StreamShape(tasks=2, classes=10, images=32, image_size=64))
    return parameters.set_index("method"), compute.set_index("method")


@pytest.mark.parametrize("name", SYMBOLS)
def test_the_symbol_table(name):
    with torch.device("meta"):
        network = backbones.get(name)().network(weights=False)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert {
        "P": sum(p.numel() for p in network.backbone.parameters()),
        "W": sum(c.weight.numel() for c in convs),
        "C": sum(c.out_channels for c in convs),
        "C3": sum(c.out_channels for c in convs if c.kernel_size != (1, 1)),
        "K": sum(c.in_channels * c.kernel_size[0] * c.kernel_size[1] for c in convs),
    } == SYMBOLS[name]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert sum(norm.num_features for norm in norms) == SYMBOLS[name]["C"]


@pytest.mark.parametrize(("backbone", "method"), [(b, m) for b, per_task in PER_TASK.items() for m in per_task])
def test_extra_parameters_per_task(backbone, method):
    row = tables(backbone)[0].loc[method]
    assert row["extra_parameters_per_task"] == PER_TASK[backbone][method]
    assert row["backbone_parameters"] == SYMBOLS[backbone]["P"]
    if method in PERCENT[backbone]:
        assert f"{row['extra_parameters_percent']:.3f}" == PERCENT[backbone][method]


def test_the_bytes_of_a_whole_state():
    """ResNet-18's parameters and 2 x 4,800 statistics; two heads of 512 x 10 + 10, or one."""
    parameters, _ = tables("resnet18")
    network, head = 4 * (11_176_512 + 2 * 4_800), 4 * 5_130
    image = 3 * 64 * 64 + 2 + 2  # pixels, label and task number

    def of(method: str) -> list[int]:
        row = parameters.loc[method]
        return [row[f"{part}_bytes"] for part in ("frozen", "shared", "task", "memory", "replay", "state")]

    frozen = network - 4 * 4 * 4_800
    clr = 2 * (4 * 54_336 + head)
    assert of("clr") == [frozen, 0, clr, 0, 0, frozen + clr]
    assert of("sgd") == [0, network, 2 * head, 0, 0, network + 2 * head]
    assert of("sgd-ll") == [network, head, 0, 0, 0, network + head]
    fisher = 2 * 2 * 4 * 11_176_512
    assert of("ewc") == [0, network, 2 * head, fisher, 0, network + 2 * head + fisher]
    assert of("online-ewc")[3] == 2 * 4 * 11_176_512
    # All 64 images fit; beside them the count of images seen, an int64.
    assert of("er")[3:5] == [64 * image + 8, 64 * image]
    assert parameters.loc["sgd", "head_parameters_per_task"] == 5_130
    assert parameters.loc["sgd-ll", "head_parameters_per_task"] == 5_130 / 2


def test_normalised_compute():
    compute = tables("resnet18")[1]["normalized_compute"]
    assert compute["sgd"] == 1
    assert f"{compute['clr']:.2f}" == "0.67"
    assert f"{tables('resnet50')[1]['normalized_compute']['clr']:.2f}" == "0.67"
    assert f"{tables('resnet50')[1]['normalized_compute']['clr-full']:.2f}" == "0.69"
    # Of the backbone only the forward pass; the first of two tasks has nothing to replay.
    assert 1 / 3 < compute["linear-probe"] < 0.35
    assert compute["sgd-ll"] == compute["linear-probe"]
    assert compute["er"] == pytest.approx((1 + 2) / 2, abs=1e-3)
    assert compute["bn-only"] < compute["clr"] < compute["clr-mixed"] < compute["clr-full"] < 1


def test_the_fisher_information_is_counted():
    """A forward pass to draw labels, and a pass forward and backward, on each image once in 8 epochs: (1 + 3) / 24."""
    compute = tables("resnet18")[1]["normalized_compute"]
    assert compute["ewc"] == pytest.approx(1 + 4 / 24, abs=0.01)
    assert compute["online-ewc"] == compute["ewc"]


def test_replay_doubles_every_task_after_the_first():
    def flops(tasks: int) -> int:
        settings = Settings(methods=("er:memory=16",), epochs=2, batch_size=8)
        return estimate(settings, StreamShape(tasks, 5, 16, 32))[1]["training_flops"][0]

    first = flops(1)
    assert flops(2) - first == pytest.approx(2 * first, rel=2e-3)
    assert flops(5) == pytest.approx(9 * first, rel=5e-3)


@pytest.mark.parametrize(("backbone", "percent"), [("resnet18", "1.15"), ("resnet50", "0.48")])
def test_inference_of_clr(backbone, percent):
    compute = tables(backbone)[1]["normalized_inference"]
    assert f"{100 * (compute['clr'] - 1):.2f}" == percent
    assert compute["bn-only"] == 1


def test_longer_streams_follow_from_the_first_three_tasks():
    """What is simulated for three tasks and continued is what five simulated tasks give, of a memory that fills too."""
    settings = Settings(methods=("ewc", "er:memory=60"), epochs=2, batch_size=8)
    shape = StreamShape(5, 3, 16, 32)
    continued = estimate(settings, shape)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("benchmark.estimate._SIMULATED", 5)
        simulated = estimate(settings, shape)
    for a, b in zip(continued, simulated, strict=True):
        pd.testing.assert_frame_equal(a, b)
    assert continued[0]["replay_bytes"][1] == 60 * (3 * 32 * 32 + 4)
