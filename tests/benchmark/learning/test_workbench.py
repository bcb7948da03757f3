"""The network: heads, normalisation, and which tensors are put in place and taken out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.backbones import backbones
from benchmark.learning.learner import prepare, start
from benchmark.learning.workbench import Workbench
from methods import Method
from methods.network import Network

CPU = torch.device("cpu")


class Divided(Method):
    """The first convolution is shared, the second frozen, the first normalisation of the task, the second frozen."""

    def part(self, module, name):
        return {"backbone.0": "shared", "backbone.1": "task"}.get(name.rpartition(".")[0], "frozen")


@pytest.fixture
def bench(tiny_network: Network) -> Workbench:
    return Workbench(tiny_network, Divided(), CPU, most_classes=4, seed=0)


def images(count: int = 3, size: int = 8) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_a_task_uses_the_first_units_of_a_shared_head(tiny_network):
    tiny_network.eval().heads.add("shared", 7)
    tiny_network.use_head("shared", 7)
    whole = tiny_network(images())
    tiny_network.use_head("shared", 3)
    assert torch.equal(tiny_network(images()), whole[:, :3])


def test_pixels_are_normalised_per_channel():
    network = Network(nn.Flatten(), 3, mean=(0.5, 0.25, 0.0), std=(0.25, 0.5, 1.0))
    pixels = torch.tensor([[0, 0, 0], [255, 255, 255], [51, 102, 153]], dtype=torch.uint8).view(3, 3, 1, 1)
    # (pixel / 255 - mean) / std
    expected = torch.tensor([[-2.0, -0.5, 0.0], [2.0, 1.5, 1.0], [-1.2, 0.3, 0.6]])
    torch.testing.assert_close(network.features(pixels), expected, rtol=0, atol=1e-6)


def test_normalisation_is_no_part_of_the_state(bench):
    names = {name for name, _, _ in bench.network.tensors()}
    assert names == bench.network.backbone.state_dict(prefix="backbone.").keys()


def test_normalisation_whose_statistics_are_frozen_stays_in_evaluation_mode(bench):
    network = bench.network.train()
    assert network.training
    assert network.backbone[1].training
    assert not network.backbone[4].training
    before = {name: tensor.clone() for name, _, tensor in network.tensors()}
    network.features(images())
    changed = {name for name, _, tensor in network.tensors() if not torch.equal(before[name], tensor)}
    assert changed == {"backbone.1.running_mean", "backbone.1.running_var"}
    assert not network.eval().backbone[1].training


def test_only_what_is_not_frozen_is_trained(bench):
    trained = {name for name, _ in bench.trainable() if name in bench.parts}
    assert trained == {"backbone.0.weight", "backbone.1.weight", "backbone.1.bias"}


def test_every_tensor_is_in_one_part(bench):
    statistics = {f"backbone.1.{name}" for name in ("weight", "bias", "running_mean", "running_var")}
    assert bench.take("shared").keys() == {"backbone.0.weight"}
    assert bench.take("task").keys() == statistics
    everything = [*bench.take("shared"), *bench.take("task"), *bench.take("frozen")]
    assert sorted(everything) == sorted(name for name, _, _ in bench.network.tensors())


def test_a_part_that_does_not_exist_is_refused(tiny_network):
    class Misspelt(Method):
        def part(self, module, name):
            return "tasks"

    with pytest.raises(ValueError, match=r"Misspelt puts backbone\.0\.weight into the unknown part 'tasks'"):
        Workbench(tiny_network, Misspelt(), CPU, most_classes=4, seed=0)


def test_what_is_taken_is_a_copy_and_can_be_placed_back(bench):
    taken = bench.take("task")
    original = {name: tensor.clone() for name, tensor in taken.items()}
    bench.network.train().features(images())
    assert all(torch.equal(original[name], tensor) for name, tensor in taken.items())
    assert not torch.equal(bench.take("task")["backbone.1.running_mean"], original["backbone.1.running_mean"])
    bench.network.place(taken)
    assert all(torch.equal(original[name], tensor) for name, tensor in bench.take("task").items())
    taken["backbone.1.weight"].zero_()
    assert bench.take("task")["backbone.1.weight"].ne(0).all()


def test_placing_keeps_the_live_tensors(bench):
    parameter = bench.network.backbone[0].weight
    bench.network.place({"backbone.0.weight": torch.full((6, 3, 3, 3), 2.0)})
    assert bench.network.backbone[0].weight is parameter
    assert parameter.eq(2).all()
    assert parameter.requires_grad


def test_placing_what_the_network_does_not_have_is_an_error(bench):
    with pytest.raises(KeyError, match=r"backbone\.9\.weight"):
        bench.network.place({"backbone.9.weight": torch.zeros(1)})


def test_heads_are_taken_by_name(bench):
    bench.network.heads.add("2", 3)
    taken = bench.take_head("2")
    assert {name: tuple(tensor.shape) for name, tensor in taken.items()} == {
        "heads.2.weight": (3, 5),
        "heads.2.bias": (3,),
    }


def test_the_pristine_network_is_never_changed(tiny_network):
    before = {name: tensor.clone() for name, tensor in tiny_network.state_dict().items()}
    bench = Workbench(tiny_network, Divided(), CPU, most_classes=4, seed=0)
    bench.network.place({"backbone.0.weight": torch.zeros(6, 3, 3, 3)})
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny_network.state_dict().items())
    assert all(p.requires_grad for p in tiny_network.parameters())


def test_a_shared_head_is_as_wide_as_the_largest_task(make_cell):
    cell = make_cell("sgd-ll")
    assert cell.most_classes == 4
    state = start(cell)
    assert {name: tuple(tensor.shape) for name, tensor in state.shared.items()} == {
        "heads.shared.weight": (4, 5),
        "heads.shared.bias": (4,),
    }
    assert prepare(cell, 2).head_key(2) == "shared"


def test_batch_counters_are_not_stored():
    network = backbones.get("mini")(weights="random").network()
    assert not [name for name, _, _ in network.tensors() if "num_batches_tracked" in name]
