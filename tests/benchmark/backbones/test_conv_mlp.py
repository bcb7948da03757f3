"""The network of "Three types of incremental learning": its layers, its file, and that its convolutions are frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, linear, relu

from benchmark.backbones import backbone_of
from benchmark.checks.tiny import three_tasks
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.errors import UserError

CHANNELS = (3, 16, 32, 64, 128, 256)


def authors_file() -> dict[str, dict[str, torch.Tensor]]:
    """What their main_pretrain.py saves: five convolutions with biases, all but the last with batch normalisation."""
    torch.manual_seed(5)
    state = {}
    for number in range(1, 6):
        name, (inputs, outputs) = f"convLayer{number}", CHANNELS[number - 1 : number + 1]
        state |= {f"{name}.conv.{key}": value for key, value in nn.Conv2d(inputs, outputs, 3).state_dict().items()}
        if number < 5:
            norm = nn.BatchNorm2d(outputs).state_dict()
            norm["running_mean"] += torch.randn(outputs)
            state |= {f"{name}.bn.{key}": value for key, value in norm.items()}
    return {"state": state}


def test_features_are_those_of_the_article(tmp_path):
    torch.save(authors_file(), tmp_path / "C3")
    network = backbone_of(f"conv-mlp:weights={tmp_path / 'C3'}:hidden=7").network().eval()
    state, own = authors_file()["state"], network.backbone.state_dict()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = torch.tensor([0.5071, 0.4865, 0.4409]), torch.tensor([0.2673, 0.2564, 0.2761])
    x = (images / 255 - mean[:, None, None]) / std[:, None, None]
    for number in range(1, 6):
        name = f"convLayer{number}"
        x = conv2d(x, state[f"{name}.conv.weight"], state[f"{name}.conv.bias"], 1 if number == 1 else 2, padding=1)
        if number < 5:
            norm = [state[f"{name}.bn.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
            x = relu(batch_norm(x, *norm))
    assert x.shape == (2, 256, 2, 2)
    x = x.flatten(1)
    for layer in (1, 3):
        x = relu(linear(x, own[f"connected.{layer}.weight"], own[f"connected.{layer}.bias"]))
    torch.testing.assert_close(network.features(images), x)
    assert network.feature_dim == 7


def test_no_method_changes_the_convolutions(make_cell: Callable[..., Cell]):
    network = backbone_of("conv-mlp:hidden=5").network()
    tasks = tuple(_larger(task) for task in three_tasks("task")[:2])
    for spec in ("sgd", "ewc:samples=4"):
        cell = replace(make_cell(spec), pristine=network)
        state = start(cell)
        for task in tasks:
            state = learn(cell, state, task, Training(cell.make_method().recipe, epochs=1, batch_size=8)).state
        assert {name.split(".")[1] for name in state.shared} == {"connected"}, "the convolutions are not even stored"
        assert not torch.equal(state.shared["backbone.connected.1.weight"], network.backbone.connected[1].weight)
        kept = [tensor.numel() for name, tensor in state.memory.items() if name.startswith("fisher")]
        connected = sum(parameter.numel() for parameter in network.backbone.connected.parameters())
        assert set(kept) <= {connected}, "the penalty is over what is trained"


def _larger(task: Task) -> Task:
    images = torch.zeros(len(task.train), 3, 32, 32, dtype=torch.uint8)
    images += torch.arange(len(task.train), dtype=torch.uint8)[:, None, None, None]
    return replace(task, train=replace(task.train, images=images))


def test_options_and_files_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(UserError, match="hidden=0 must be at least 1"):
        backbone_of("conv-mlp:hidden=0")
    torch.save({"state": {"other": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"it lacks 'convLayer1\.conv\.weight', which the network has"):
        backbone_of(f"conv-mlp:weights={tmp_path / 'other.pth'}").network()
