"""Parameter superposition against its formula, and against fine-tuning on the first task."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.psp import PSP, Context
from benchmark.backbones import backbones
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.training import Training
from benchmark.storage.state import State, tensor_bytes
from benchmark.streams.base import Task
from methods.network import Network

TRAINING = Training(PSP.recipe, epochs=2, batch_size=8)


def after(cell: Cell, tasks: tuple[Task, ...]) -> State:
    state = start(cell)
    for task in tasks:
        state = learn(cell, state, task, TRAINING).state
    return state


def signs(cell: Cell, task: int) -> list[Tensor]:
    return [module.signs for module in prepare(cell, task).network.modules() if isinstance(module, Context)]


@pytest.mark.parametrize("conv", [nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Conv2d(4, 5, 1, bias=False)], ids=str)
def test_context_on_the_weights_is_context_on_the_unfolded_inputs(conv: nn.Conv2d) -> None:
    """The paper's y = W (o_t x), for each patch x of the image."""
    conv = copy.deepcopy(conv).double()
    weight, bias = conv.weight.detach().clone(), 0 if conv.bias is None else conv.bias[:, None]
    method = PSP()
    method.task, method.generator = 2, torch.Generator().manual_seed(0)
    method.adapt(nn.Sequential(conv))
    o = conv.parametrizations.weight[0].signs
    assert o.shape == weight.shape[1:]
    assert set(o.unique().tolist()) == {-1.0, 1.0}
    images = torch.randn(2, 4, 7, 7, dtype=torch.float64)
    patches = F.unfold(images, conv.kernel_size, padding=conv.padding, stride=conv.stride)
    expected = weight.flatten(1) @ (o.flatten()[:, None] * patches) + bias
    torch.testing.assert_close(conv(images).flatten(2), expected, rtol=1e-12, atol=1e-12)


def test_channels_of_a_group_share_a_context() -> None:
    conv = nn.Conv2d(4, 8, 3, groups=4)
    method = PSP()
    method.task, method.generator = 2, torch.Generator().manual_seed(0)
    method.adapt(nn.Sequential(conv))
    assert conv.parametrizations.weight[0].signs.shape == (1, 3, 3)


def test_the_first_task_is_fine_tuning_bit_for_bit(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    psp, sgd = (after(make_cell(spec), tiny_tasks[:1]) for spec in ("psp", "sgd:bn=per-task"))
    shared = {key.replace("parametrizations.weight.original", "weight"): t for key, t in psp.shared.items()}
    assert shared.keys() == sgd.shared.keys()
    assert all(torch.equal(shared[key], sgd.shared[key]) for key in shared)
    assert psp.tasks[1].keys() == sgd.tasks[1].keys()
    assert all(torch.equal(psp.tasks[1][key], sgd.tasks[1][key]) for key in sgd.tasks[1])


def test_contexts_depend_on_seed_and_task_alone(make_cell: Callable[..., Cell]) -> None:
    assert all(o.eq(1).all() for o in signs(make_cell("psp"), 1))
    two, again = signs(make_cell("psp"), 2), signs(make_cell("psp"), 2)
    assert all(torch.equal(a, b) for a, b in zip(two, again, strict=True))
    for other in (signs(make_cell("psp"), 3), signs(make_cell("psp", seed=1), 2)):
        assert not torch.equal(two[0], other[0])


def test_stored_contexts_are_those_of_the_seed_as_bits(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    drawn, stored = (make_cell("psp", contexts=contexts) for contexts in ("seed", "stored"))
    a, b = after(drawn, tiny_tasks[:2]), after(stored, tiny_tasks[:2])
    assert all(torch.equal(a.shared[key], b.shared[key]) for key in a.shared)
    bits = {key: tensor for key, tensor in b.tasks[2].items() if key.endswith("signs")}
    assert [(t.dtype, len(t)) for t in bits.values()] == [(torch.uint8, 4), (torch.uint8, 1)]  # 27 and 6 bits
    assert not [key for key in a.tasks[2] if key.endswith("signs")]

    # What is used is what was stored, not what is drawn: with all bits 0, all signs are -1.
    for tensor in bits.values():
        tensor.zero_()
    network: Network = network_for(stored, b, 2, 2)
    assert all(module.signs.eq(-1).all() for module in network.modules() if isinstance(module, Context))


def test_stored_contexts_give_the_same_answers(make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    images = tiny_tasks[1].test.images
    cells = [make_cell("psp", contexts=contexts) for contexts in ("seed", "stored")]
    a, b = (network_for(cell, after(cell, tiny_tasks), 2, 2)(images) for cell in cells)
    assert torch.equal(a, b)


def test_a_task_answers_with_its_own_statistics_whatever_the_batch(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """By default: the second task changes the weights, but not the statistics of the first."""
    one, two = (after(make_cell("psp"), tiny_tasks[:count]) for count in (1, 2))
    own = {name: tensor for name, tensor in one.tasks[1].items() if "running" in name}
    assert len(own) == 4
    assert all(torch.equal(two.tasks[1][name], tensor) for name, tensor in own.items())
    network = network_for(make_cell("psp"), two, 1, 3)
    live = dict(network.named_buffers())
    assert all(torch.equal(live[name], tensor) for name, tensor in own.items())
    images = tiny_tasks[0].test.images
    with torch.no_grad():
        whole, single = network(images), torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(single, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "bits", "size", "channels"), [("resnet18", 31_123, 3_891, 4_800), ("resnet50", 52_883, 6_611, 26_560)]
)
def test_a_task_costs_the_bits_of_its_context_or_nothing_and_batch_normalisation(
    backbone: str, bits: int, size: int, channels: int
) -> None:
    with torch.device("meta"):
        network = backbones.get(backbone)().network(weights=False)

    def own(**options: str) -> dict[str, Tensor]:
        return prepare(Cell(network, lambda: PSP(**options), 10, 0, torch.device("meta")), 2).take("task")

    assert own(bn="shared") == own(bn="frozen") == {}
    stored = own(contexts="stored", bn="shared")
    drawn = signs(Cell(network, lambda: PSP(contexts="stored"), 10, 0, torch.device("meta")), 2)
    assert sum(o.numel() for o in drawn) == bits
    assert tensor_bytes(stored) == size == -(-bits // 8)
    assert tensor_bytes(own()) == 4 * 4 * channels
    assert tensor_bytes(own(contexts="stored")) == size + 4 * 4 * channels
