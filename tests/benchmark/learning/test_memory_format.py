"""--memory-format changes where values lie in memory, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from baselines.ewc import EWC
from baselines.shared.finetuning import FineTuning
from benchmark.config import AUGMENTATIONS
from benchmark.images.layout import MemoryFormat
from benchmark.learning import workbench
from benchmark.learning.evaluation import evaluate, network_for
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.planning.scenarios import learned_as
from benchmark.storage.state import State, pack
from benchmark.streams.base import Stream, Task
from benchmark.streams.columns import in_columns
from methods import Method, Step, methods
from methods.configured import configure
from methods.network import Network

FORMATS: dict[MemoryFormat, torch.memory_format] = {
    "channels-last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}
EMPTY = State(0, {})


@pytest.fixture(autouse=True)
def _weights_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights lie here as they do on a GPU."""
    monkeypatch.setattr(workbench, "WEIGHTS_FOLLOW", ("cpu",))


def states(cell: Cell, tasks: tuple[Task, ...], **changes: Any) -> list[State]:
    training = replace(Training(cell.make_method().recipe, epochs=2, batch_size=20), **changes)
    found = [start(cell)]
    for task in tasks:
        found.append(learn(cell, found[-1], task, training).state)
    return found


def flat(state: State) -> dict[str, Tensor]:
    return {f"{stem}/{name}": tensor for stem, part in state.parts() for name, tensor in part.items()}


def kernels(network: Network) -> list[Tensor]:
    """The weights of a network for which the formats differ."""
    return [p for p in network.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]


@pytest.mark.parametrize("method", dict.fromkeys((*methods.members("all"), *methods.members("class"))))
def test_a_method_learns_the_same_in_both_formats(
    method: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], tiny_network: Network
) -> None:
    """In double precision, where rounding cannot move a value over a threshold."""
    tiny_network.double()
    scenario = learned_as("task", configure(method))
    tasks = in_columns(Stream("tiny", tiny_tasks[:2]), scenario).tasks
    last, first = (replace(make_cell(method), memory_format=each, scenario=scenario, widths=(3, 2)) for each in FORMATS)
    assert configure(method).cls.any_layout or method == "packnet"
    assert pack(start(last), EMPTY, {}).checksums == pack(start(first), EMPTY, {}).checksums
    for one, other in zip(states(last, tasks), states(first, tasks), strict=True):
        assert all(tensor.is_contiguous() for tensor in flat(one).values())
        torch.testing.assert_close(flat(one), flat(other), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("augment", [(), *((name,) for name in AUGMENTATIONS), ("crop", "flip")])
@pytest.mark.parametrize("method", ["er", "agem", "linear-probe"])
def test_all_images_and_weights_of_a_cell_have_the_format(
    method: str,
    augment: tuple[str, ...],
    memory_format: MemoryFormat,
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Tensor] = []
    features = Network.features

    def note(self: Network, images: Tensor) -> Tensor:
        seen.extend([images, *kernels(self)])
        return features(self, images)

    monkeypatch.setattr(Network, "features", note)
    cell = replace(make_cell(method), memory_format=memory_format)
    state = states(cell, tiny_tasks[:2], augment=augment)[-1]
    evaluate(network_for(cell, state, 1, 3), tiny_tasks[0].test, cell.device, "fp32", memory_format)
    assert len(seen) > 4
    for tensor in seen:
        assert tensor.is_contiguous(memory_format=FORMATS[memory_format])


class Anchor(FineTuning):
    """A method of someone who does not know of memory formats."""

    def theta(self, step: Step) -> Tensor:
        return parameters_to_vector(step.shared_parameters().values())

    def before_backward(self, step: Step) -> None:
        if "anchor" in self.kept:
            step.loss += (self.theta(step) - self.kept["anchor"]).square().sum()

    def after_backward(self, step: Step) -> None:
        for parameter in step.trained:
            parameter.grad.view(-1).mul_(0.5)

    def after_training_exp(self, step: Step) -> None:
        self.kept["anchor"] = self.theta(step).detach()


@pytest.mark.parametrize("given", FORMATS)
def test_a_method_that_does_not_say_it_finds_contiguous_weights(
    given: MemoryFormat, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], tiny_network: Network
) -> None:
    """However the backbone comes."""
    tiny_network.to(memory_format=FORMATS[given])
    cell = replace(make_cell("sgd"), make_method=Anchor)
    assert "memory-2/anchor" in flat(states(cell, tiny_tasks[:2])[-1])


def test_a_class_says_it_for_itself_alone() -> None:
    class Derived(EWC):
        """Has code of its own."""

    class Careful(EWC):
        """Has such code too."""

        any_layout = True

    assert (Method.any_layout, EWC.any_layout, Derived.any_layout, Careful.any_layout) == (False, True, False, True)


class Deep(nn.Sequential):
    """Has a weight of five dimensions, for which torch has other formats."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.unsqueeze(2)).flatten(1)


def test_a_backbone_may_have_weights_of_any_number_of_dimensions(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    backbone = Deep(nn.Conv3d(3, 4, (1, 3, 3)), nn.ReLU(), nn.AdaptiveAvgPool3d(1))
    network = Network(backbone, 4, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    cell = replace(make_cell("sgd"), pristine=network)
    assert flat(states(cell, tiny_tasks[:1])[-1])["shared-1/backbone.0.weight"].shape == (4, 3, 1, 3, 3)
