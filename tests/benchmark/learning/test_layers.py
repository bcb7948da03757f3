"""The learning rates of the blocks of a transformer, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer

from benchmark.config import Settings
from benchmark.learning.layers import Heights
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.planning.preparation import prepare_run
from benchmark.streams.base import Task
from methods import Method, Network, Step, UserError, methods
from methods.configured import configure


def network_of(backbone: nn.Module, features: int) -> Network:
    return Network(backbone, features, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


@pytest.fixture
def vit() -> Network:
    """Two blocks, for images of 8x8."""
    torch.manual_seed(0)
    backbone = VisionTransformer(image_size=8, patch_size=4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16)
    backbone.heads = nn.Identity()
    return network_of(backbone, 8)


def by_hand(name: str) -> int:
    """The height of a tensor in that network of two blocks."""
    if "encoder_layer_" in name:
        return 2 - int(name.partition("encoder_layer_")[2][0])
    return 3 if any(part in name for part in ("class_token", "conv_proj", "pos_embedding")) else 0


def test_the_heights_of_a_vision_transformer(vit: Network) -> None:
    heights = Heights(vit)
    found = {name: heights.of(name) for name, _, _ in vit.tensors()}
    assert found == {name: by_hand(name) for name in found}
    assert set(found.values()) == {0, 1, 2, 3}
    assert found["backbone.encoder.ln.weight"] == 0
    # What a method adds.
    assert heights.of("heads.1.weight") == heights.of("backbone.prompts") == 0
    assert heights.of("backbone.encoder.layers.encoder_layer_0.adapter.down.weight") == 2


def test_what_is_between_two_blocks_belongs_to_the_one_before() -> None:
    swin = SwinTransformer([4, 4], 8, [2, 1], [2, 2], [2, 2], stochastic_depth_prob=0.0)
    heights = Heights(network_of(swin, 16))
    assert heights.of("backbone.features.0.0.weight") == 4
    assert heights.of("backbone.features.1.0.attn.qkv.weight") == 3
    assert heights.of("backbone.features.1.1.mlp.0.weight") == 2
    assert heights.of("backbone.features.2.reduction.weight") == 2
    assert heights.of("backbone.features.3.0.norm1.weight") == 1
    assert heights.of("backbone.norm.weight") == 0


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_each_parameter_learns_at_its_rate(
    decay: float,
    vit: Network,
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rate of the recipe, times 0.1 for the backbone, as the method says, times the decay by height."""
    monkeypatch.setattr(methods.get("sgd"), "lr_scale", lambda self, name: 0.1 if name.startswith("backbone.") else 1.0)
    rates: dict[str, float] = {}

    def look(self: Method, step: Step) -> None:
        names = {id(parameter): name for name, parameter in step.model.named_parameters()}
        for group in step.optimizer.param_groups:
            rates.update({names[id(parameter)]: group["lr"] for parameter in group["params"]})

    monkeypatch.setattr(Method, "before_update", look)
    recipe = configure(f"sgd:lr=0.2:schedule=constant:layer_decay={decay}").recipe
    cell = replace(make_cell("sgd"), pristine=vit)
    learn(cell, start(cell), tiny_tasks[0], Training(recipe, epochs=1, batch_size=20))
    assert {name.partition(".")[0] for name in rates} == {"backbone", "heads"}
    for name, rate in rates.items():
        expected = 0.2 * (0.1 * decay ** by_hand(name) if name.startswith("backbone.") else 1.0)
        assert rate == pytest.approx(expected), name


def test_a_network_without_blocks_has_no_layers_to_decay() -> None:
    settings = Settings(methods=("sgd", "sgd:layer_decay=0.75"), tasks=1, train_images=20, test_images=10)
    with pytest.raises(UserError) as caught:
        prepare_run(settings, note=lambda text: None)
    assert str(caught.value) == (
        "'sgd:layer_decay=0.75': layer_decay=0.75 is for the blocks of a transformer, and this backbone has none; "
        "leave it out"
    )
