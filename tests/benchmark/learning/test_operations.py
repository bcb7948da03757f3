"""Operations against counts made by hand, bytes and peak memory."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import nn

from benchmark.backbones import backbones
from benchmark.config import Settings
from benchmark.learning.memory import peak_memory, training_memory
from benchmark.learning.operations import (
    OperationCounter,
    inference_operations_per_image,
    training_operations_per_image,
)
from benchmark.planning.estimate import StreamShape, estimate
from benchmark.storage.state import tensor_bytes
from methods.errors import UserError
from methods.network import Network

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


def test_memory_of_a_training_step_by_hand(tiny_network: Network):
    """Two images at 8x8, four bytes a value."""
    maps = 3 + 6 + 6 + 5 + 5  # normalised images; each convolution and its activation
    norms = 4 * (6 + 5)  # running and batch statistics, two each
    answers = 2 * (5 + 4)  # features and logits
    weights = 6 * 27 + 5 * 6 + 2 * (6 + 5) + 4 * (5 + 1)
    assert training_memory(tiny_network, 4, 8, 2) == 4 * (2 * 64 * maps + norms + answers + 3 * weights)
    each = training_memory(tiny_network, 4, 8, 3) - training_memory(tiny_network, 4, 8, 2)
    assert each == 4 * (64 * maps + 5 + 4)


def test_counting_leaves_the_network_as_it_was(tiny_network: Network):
    tiny_network.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in tiny_network.state_dict().items()}
    training_operations_per_image(tiny_network, 4, 8)
    training_memory(tiny_network, 4, 8, 2)
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


def test_peak_memory_of_a_gpu_is_what_came_on_top(monkeypatch: pytest.MonkeyPatch):
    """700 bytes were there before; the peak of the block, 1000, is only counted from its start."""
    peaks, levels = {"highest": 5000}, [700]
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: peaks.update(highest=levels[0]))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: levels[0])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peaks["highest"])
    with peak_memory(torch.device("cuda")) as peak:
        peaks["highest"], levels[0] = 1000, 900
    assert peak.bytes == 300


def test_replay_doubles_every_task_after_the_first():
    def flops(tasks: int) -> int:
        settings = Settings(methods=("er:memory=16",), epochs=2, batch_size=8)
        return estimate(settings, StreamShape(tasks, 5, 16, 32))[1]["training_flops"][0]

    first = flops(1)
    assert flops(2) - first == pytest.approx(2 * first, rel=2e-3)
    assert flops(5) == pytest.approx(9 * first, rel=5e-3)


def test_longer_streams_follow_from_the_first_three_tasks():
    """What is simulated for three tasks and continued is what five simulated tasks give, of a memory that fills too."""
    settings = Settings(methods=("ewc", "er:memory=60"), epochs=2, batch_size=8)
    shape = StreamShape(5, 3, 16, 32)
    continued = estimate(settings, shape)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("benchmark.planning.estimate._SIMULATED", 5)
        simulated = estimate(settings, shape)
    for a, b in zip(continued, simulated, strict=True):
        pd.testing.assert_frame_equal(a, b)
    assert continued[0]["replay_bytes"][1] == 60 * (3 * 32 * 32 + 4)
