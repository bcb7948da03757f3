"""What each method stores and computes for all of ResNet-18 and ResNet-50, compared with values worked out by hand."""

from __future__ import annotations

from functools import cache

import pandas as pd
import pytest
import torch
from torch import nn

from benchmark.backbones import backbones
from benchmark.config import Settings
from benchmark.planning.estimate import StreamShape, estimate

# Parameters, convolution weights, output channels of all convolutions and of those that are not 1x1, and the sum of
# C_in k k; without classifiers. In addition to the symbols of the paper's table: sums of C_out^2 and of C_in * C_out
# over the convolutions that are not 1x1, and of C_in * stride^2.
SYMBOLS = {
    "resnet18": {
        "P": 11_176_512,
        "W": 11_166_912,
        "C": 4_800,
        "C3": 3_904,
        "K": 31_123,
        "OUT2": 1_396_736,
        "INOUT": 1_220_800,
        "IN_PHASES": 6_540,
    },
    "resnet50": {
        "P": 23_508_032,
        "W": 23_454_912,
        "C": 26_560,
        "C3": 3_840,
        "K": 52_883,
        "OUT2": 1_261_568,
        "INOUT": 1_257_664,
        "IN_PHASES": 30_604,
    },
}


def per_task(s: dict[str, int]) -> dict[str, float]:
    """Float32 values of state that each task adds, without heads and replay."""
    statistics, norms = 2 * s["C"], 4 * s["C"]
    return {
        "clr": 9 * s["C3"] + norms,
        "clr-mixed": 9 * s["C3"] + (s["C"] - s["C3"]) + norms,
        "clr-full": 9 * s["C"] + norms,
        "bn-only": norms,
        "ccll": 14 * s["C"] + 2 * statistics,
        "ccll:anchor=pretrained": 14 * s["C"] + 2 * statistics,
        "eft": 92 * s["C"] + statistics,
        "confit": norms + s["IN_PHASES"],
        "bpn": s["C"],
        "supsup": s["W"] / 32 + statistics,
        "psp": norms,
        "psp:bn=shared": 0,
        "psp:contexts=stored": (s["K"] + 7) // 8 / 4 + norms,
        "psp:contexts=stored:bn=shared": (s["K"] + 7) // 8 / 4,
        "ewc": 2 * s["P"],
        "ewc:storage=summed": 0,
        "online-ewc": 0,
        "si": 0,
        "lwf": 0,
        "er": 0,
        "er-ace": 0,
        "derpp": 0,
        # The heads of the working model and of the plastic mean: 512 weights and a bias for each of 10 classes.
        "cls-er": 2 * 5_130,
        "gdumb": 0,
        # The head that was trained: 512 weights and a bias for each of 10 classes. Here classes of all tasks compete.
        "icarl": 5_130,
        "wa": 0,
        # The last task's two values; the first task has none.
        "bic": 2,
        "agem": 0,
        "joint": 0,
        "sgd": 0,
        "sgd-ll": 0,
        "sgd:bn=per-task": norms,
        "linear-probe": 0,
        "ncm": 0,
        # 10 classes of 512 features, and an int64 count of each.
        "slda": 10 * (512 + 2),
        "ranpac:width=100": 10 * 100,
        "single-task": s["P"] + statistics,
        "piggyback:bn=frozen": s["W"] / 32,
        "piggyback:bn=per-task": s["W"] / 32 + norms,
        "conv-lora:rank=3:bn=frozen": 3 * (s["K"] + s["C"]),
        "residual-adapters:form=series:bn=frozen": s["OUT2"] + 4 * s["C3"],
        "residual-adapters:form=parallel:bn=per-task": s["INOUT"] + norms,
        "reprogram:size=32": 3 * 32 * 32,
    }


# In percent of the backbone's parameters, with the digits of the published comparison's definition.
PERCENT = {
    "resnet18": {
        "clr": "0.486",
        "clr-mixed": "0.494",
        "clr-full": "0.558",
        "bn-only": "0.172",
        "bpn": "0.043",
        "ewc": "200.000",
        "ccll": "0.773",
        "confit": "0.230",
    },
    "resnet50": {"clr": "0.599", "clr-mixed": "0.696", "clr-full": "1.469", "bn-only": "0.452", "bpn": "0.113"},
}

# The larger network takes longer to simulate. It is used for the methods that treat 1x1 convolutions differently and
# have published values.
METHODS = {
    "resnet18": tuple(per_task(SYMBOLS["resnet18"])),
    "resnet50": (
        *("clr", "clr-mixed", "clr-full", "bn-only", "ccll", "eft", "confit", "bpn", "supsup", "psp:contexts=stored"),
        "residual-adapters:form=parallel:bn=per-task",
    ),
}
CASES = [(backbone, method) for backbone, listed in METHODS.items() for method in listed]


@cache
def tables(backbone: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tasks of 32 images at 64x64; the ratios hardly depend on the size."""
    settings = Settings(methods=METHODS[backbone], backbone=backbone, epochs=8)
    parameters, compute = estimate(settings, StreamShape(tasks=2, classes=10, images=32, image_size=64))
    return parameters.set_index("method"), compute.set_index("method")


@pytest.mark.parametrize("name", SYMBOLS)
def test_the_symbol_table(name: str) -> None:
    with torch.device("meta"):
        network = backbones.get(name)().network(weights=False)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    large = [conv for conv in convs if conv.kernel_size != (1, 1)]
    assert {
        "P": sum(p.numel() for p in network.backbone.parameters()),
        "W": sum(c.weight.numel() for c in convs),
        "C": sum(c.out_channels for c in convs),
        "C3": sum(c.out_channels for c in large),
        "K": sum(c.in_channels * c.kernel_size[0] * c.kernel_size[1] for c in convs),
        "OUT2": sum(c.out_channels**2 for c in large),
        "INOUT": sum(c.in_channels * c.out_channels for c in large),
        "IN_PHASES": sum(c.in_channels * c.stride[0] * c.stride[1] for c in convs),
    } == SYMBOLS[name]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert sum(norm.num_features for norm in norms) == SYMBOLS[name]["C"]


@pytest.mark.parametrize(("backbone", "method"), CASES)
def test_extra_parameters_per_task(backbone: str, method: str) -> None:
    row = tables(backbone)[0].loc[method]
    assert row["extra_parameters_per_task"] == per_task(SYMBOLS[backbone])[method]
    assert row["backbone_parameters"] == SYMBOLS[backbone]["P"]
    if method in PERCENT[backbone]:
        assert f"{row['extra_parameters_percent']:.3f}" == PERCENT[backbone][method]


def test_the_bytes_of_a_whole_state() -> None:
    """ResNet-18's parameters and 2 x 4,800 statistics; two heads of 512 x 10 + 10, or one."""
    parameters, _ = tables("resnet18")
    network, head = 4 * (11_176_512 + 2 * 4_800), 4 * 5_130
    pixels, label_and_task, logits = 3 * 64 * 64, 2 + 2, 4 * 10

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
    assert of("single-task") == [0, 0, 2 * (network + head), 0, 0, 2 * (network + head)]
    assert of("lwf")[3] == 0
    # 2P once, for any number of tasks.
    assert of("online-ewc")[3] == of("si")[3] == 2 * 4 * 11_176_512
    # All 64 images fit; the count of images seen, an int64, is stored too.
    sample = pixels + label_and_task
    assert of("er")[3:5] == of("agem")[3:5] == [64 * sample + 8, 64 * sample]
    assert of("derpp")[3:5] == [64 * (sample + logits) + 8, 64 * (sample + logits)]
    assert of("joint")[4] == 64 * sample
    # What ccll and eft learn on the first task is kept once: the network without its batch normalisation.
    assert of("ccll")[1] == of("eft")[1] == network - 4 * 4 * 4_800
    assert parameters.loc["sgd", "head_parameters_per_task"] == 5_130
    assert parameters.loc["sgd-ll", "head_parameters_per_task"] == 5_130 / 2


def test_packnet_stores_which_task_owns_a_weight_in_as_few_bits_as_tell_the_tasks_apart() -> None:
    """1 bit for one task, 2 for two and three, 3 for four to seven; shared tensors are kept once."""
    settings = Settings(methods=("packnet",), backbone="resnet18")
    shared = [estimate(settings, StreamShape(tasks, 2, 16, 64))[0]["shared_bytes"][0] for tasks in (1, 2, 3, 4)]
    bits = [(size - 4 * (11_176_512 + 2 * 4_800)) * 8 / 11_166_912 for size in shared]
    assert bits == [1, 2, 2, 3]


def test_a_memory_that_is_filled_during_a_task() -> None:
    """The first task replays too: each of its steps but the very first one. What is stored takes the same bytes."""
    settings = Settings(methods=("er:fill=during", "derpp:fill=during", "er", "derpp"), backbone="resnet18")
    found = estimate(settings, StreamShape(tasks=2, classes=2, images=80, image_size=64))
    parameters, compute = (table.set_index("method") for table in found)
    ratio = compute["normalized_compute"]
    assert ratio["er:fill=during"] == pytest.approx(2, abs=1e-3)
    assert ratio["derpp:fill=during"] == pytest.approx(3, abs=1e-3)
    for method in ("er", "derpp"):
        assert parameters.loc[f"{method}:fill=during", "replay_bytes"] == parameters.loc[method, "replay_bytes"]
    assert parameters.loc["er", "replay_bytes"] == 2 * 80 * (3 * 64 * 64 + 4)


def test_normalised_compute() -> None:
    compute = tables("resnet18")[1]["normalized_compute"]
    assert compute["sgd"] == compute["single-task"] == 1
    assert f"{compute['clr']:.2f}" == "0.67"
    assert f"{tables('resnet50')[1]['normalized_compute']['clr']:.2f}" == "0.67"
    assert f"{tables('resnet50')[1]['normalized_compute']['clr-full']:.2f}" == "0.69"
    # The backbone makes only the forward pass, once for eight epochs.
    assert 1 / 24 < compute["linear-probe"] < 1.03 / 24
    assert compute["sgd-ll"] == compute["linear-probe"]
    assert compute["bn-only"] < compute["clr"] < compute["clr-mixed"] < compute["clr-full"] < 1
    # The first task has no past. On the second, a step takes one or two more forward and backward passes.
    assert compute["er"] == pytest.approx((1 + 2) / 2, abs=1e-3)
    assert compute["derpp"] == pytest.approx((1 + 3) / 2 + (1 / 24), abs=0.01)
    assert compute["agem"] == pytest.approx((1 + 2) / 2, abs=1e-3)
    assert compute["er-ace"] == compute["er"]
    # The memory is as large as both tasks.
    assert compute["gdumb"] == compute["joint"]
    # The second task goes over 32 + 32 images, with the teacher's forward pass. All are herded once in 8 epochs, and
    # icarl takes the means of 32 and of 64 exemplars.
    distilled = (1 + 2 * 4 / 3) / 2 + 1 / 24
    assert compute["wa"] == pytest.approx(distilled, abs=0.01)
    assert compute["icarl"] == pytest.approx(distilled + (1 + 2) / 2 / 24, abs=0.01)
    # The teacher's forward pass.
    assert compute["lwf"] == pytest.approx((1 + 4 / 3) / 2, abs=0.01)
    # The second task is learned together with the first.
    assert compute["joint"] == pytest.approx((1 + 2) / 2, abs=1e-3)
    # A step of the head costs a third, in an eighth of the epochs: 1 of 8 trains only the head, 3 batch norm too.
    assert 0.6 < compute["confit"] < 1
    assert compute["si"] == compute["psp"] == 1


def test_the_fisher_information_is_counted() -> None:
    """On each image, once in 8 epochs: a forward pass to draw labels, and a forward and backward pass: (1 + 3) / 24."""
    compute = tables("resnet18")[1]["normalized_compute"]
    assert compute["ewc"] == pytest.approx(1 + 4 / 24, abs=0.01)
    assert compute["online-ewc"] == compute["ewc"]


@pytest.mark.parametrize(("backbone", "percent"), [("resnet18", "1.15"), ("resnet50", "0.48")])
def test_inference_of_clr(backbone: str, percent: str) -> None:
    compute = tables(backbone)[1]["normalized_inference"]
    assert f"{100 * (compute['clr'] - 1):.2f}" == percent
    for method in ("bn-only", "supsup", "psp:contexts=stored", "confit"):
        assert compute[method] == 1
