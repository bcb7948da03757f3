"""The common base of the methods that learn prompts for a frozen transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from baselines.shared.finetuning import ALL_SCENARIOS
from baselines.shared.growing import Growing, grow
from baselines.shared.two_passes import Place, TwoPasses
from methods import Method, Network, Part, Range, Recipe, Step
from methods.scenarios import Logits
from methods.transformers import Block, sequence_blocks_for


class Prompts(nn.Module):
    """What a method learns beside the head: prompts, and what chooses them. N queries have Q numbers each."""

    def given(self, query: Tensor) -> Sequence[Any]:
        """Queries [N, Q] -> the prompts of each place."""
        raise NotImplementedError

    def penalty(self, query: Tensor) -> Tensor:
        """What the loss has beside the cross entropy, for the queries [N, Q] of a minibatch."""
        raise NotImplementedError


def uniform(shape: Sequence[int], like: Tensor) -> nn.Parameter:
    """A parameter between -1 and 1, drawn on the CPU, so that its values do not depend on the device.

    Args:
        shape: its shape.
        like: a tensor of its type, on its device.
    """
    return nn.Parameter(torch.empty(*shape, device="cpu").uniform_(-1, 1).to(like))


class Prompted(Method):
    """A frozen backbone; prompts and what chooses them are shared by all tasks.

    Args:
        logits: which logits take part in the loss in the scenario "class"; see methods.scenarios.

    Attributes:
        least_blocks: how many blocks the transformer must have.
    """

    scenarios = ALL_SCENARIOS
    # As in the articles' code: Adam at a constant rate, and gradients of length 1 at most.
    recipe = Recipe(optimizer="adam", lr=0.003, clip=1.0, schedule="constant")
    search = {"lr": Range(1e-4, 0.03)}
    least_blocks: ClassVar[int] = 1

    def __init__(self, logits: Logits = "current"):
        super().__init__()
        self.logits = logits

    def made(self, network: Network, blocks: Sequence[Block]) -> tuple[Prompts, Sequence[Place]]:
        """Return new prompts, and the places in these blocks that they are for."""
        raise NotImplementedError

    def adapt(self, network: Network) -> None:
        blocks = sequence_blocks_for(network.backbone, self.name, self.least_blocks)
        self.prompts, places = self.made(network, blocks)
        # A child of the first block, because a child of the backbone would become a layer if that is an nn.Sequential.
        blocks[0].module.add_module("prompts", self.prompts)
        self.passes = TwoPasses(places, self.prompts.given)
        self.passes.add(network.backbone)

    def part(self, module: nn.Module, name: str) -> Part:
        return "shared" if isinstance(module, (Prompts, Growing)) else "frozen"

    def before_backward(self, step: Step) -> None:
        step.loss += self.prompts.penalty(self.passes.query)


class GrowingPrompts(Prompted):
    """Each task adds prompts of its own and trains them. Those of earlier tasks take part, and do not change.

    They are stored as shared tensors, because an image may get the prompts of any task.
    """

    # A step of a later task has more prompts to look at.
    grows_evenly = False

    def switch_task(self, network: Network) -> None:
        """Nothing: the network has the prompts of all tasks that were learned, whichever is asked."""

    def trains(self, module: nn.Module, name: str) -> bool:
        return not isinstance(module, Growing) or name.endswith(f".{self.task}")

    def restored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        grow(network, tensors)
        return tensors
