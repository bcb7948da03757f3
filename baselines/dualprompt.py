"""DualPrompt: general and task-specific prefixes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from baselines.shared.growing import Growing
from baselines.shared.prefixes import Prefix
from baselines.shared.prompted import GrowingPrompts, Prompts, uniform
from baselines.shared.two_passes import Place, cosines, nearest
from methods import Network, Step, methods
from methods.scenarios import Logits
from methods.transformers import Block

# The blocks of each kind of prompt, from 0.
_GENERAL = range(2)
_EXPERT = range(2, 5)


class DualPrompts(Prompts):
    """Keys and values for attention: general ones, and those of each task with the task's key.

    All start uniformly between -1 and 1; see also `begin`.

    Args:
        general, expert: how many of each kind.
        width: D, the length of a token.
        features: Q, the length of a query.
        pull: see DualPrompt.
        task: the number of the task being learned or evaluated.
        like: a tensor of the type that the parameters get.
    """

    def __init__(self, general: int, expert: int, width: int, features: int, pull: float, task: int, like: Tensor):
        super().__init__()
        self.pull = pull
        # Blocks, keys and values.
        self.general = uniform((len(_GENERAL), 2, general, width), like)
        self.expert = Growing(task, uniform((len(_EXPERT), 2, expert, width), like))
        self.keys = Growing(task, uniform((features,), like))

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """Start a new task: its key at random, its keys and values at what the task before has learned."""
        key, experts = self.keys.newest(), self.expert.each()
        key.copy_(torch.empty(key.shape, device="cpu").uniform_(-1, 1, generator=generator))
        if len(experts) > 1:
            experts[-1].copy_(experts[-2])

    def given(self, query: Tensor) -> list[tuple[Tensor, ...]]:
        """Queries [N, Q] -> keys and values of each block: of the new task in training, else of the nearest key."""
        if self.training:
            expert = self.expert.newest()[None]
        else:
            keys, experts = torch.stack(self.keys.each()), torch.stack(self.expert.each())
            expert = experts[nearest(cosines(query, keys), 1)[:, 0]]
        return [pair.unbind(1) for part in (self.general[None], expert) for pair in part.unbind(1)]

    def penalty(self, query: Tensor) -> Tensor:
        return -self.pull * cosines(query, self.keys.newest()[None]).mean()


@methods.register("dualprompt")
class DualPrompt(GrowingPrompts):
    """DualPrompt (Wang et al., ECCV 2022, arXiv 2204.04799).

    q is the feature vector of an image from the frozen backbone in evaluation mode. In a second pass the attention of
    some blocks has further keys and values, after the projection: in blocks 0 and 1 general ones g, in blocks 2 to 4
    the expert ones e_t of a task, which has a key k_t. In training t is the task being learned; an answer has the e_t
    whose k_t is nearest to q by cosine, also where the task is known. The head reads the network's features.

    L = CE - pull * cos(q, k_t), the mean over the batch. CE is over the classes of the current task (`logits`). All
    tasks train g and the head, each task its own e_t and k_t: 2 * 2 * general * D values in all, and 3 * 2 * expert * D
    + D for each task, 15,360 and 92,928 on a ViT-B/16. Both passes are counted.

    k_t starts at random, and e_t at e_(t-1), as in the authors' code. All blocks of a task share its key.

    Args:
        general: keys, and as many values, in each of the blocks 0 and 1.
        expert: keys, and as many values, of a task in each of the blocks 2 to 4.
        pull: the paper's lambda.
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's
            only, or of "all" classes of the stream.

    Differs from the paper:
        choice: each image is answered with the prompt whose key is nearest to it. The authors' code gives all images
            of a batch the prompt that most of them would choose.
        start: keys and prompts start between -1 and 1. In the authors' code they start between 0 and .01.
        length: `general` and `expert` are rows of keys, and as many of values, as in the authors' code. In the paper
            half of so many rows are keys, half values.
    """

    any_layout = True
    least_blocks = _EXPERT.stop

    def __init__(self, general: int = 5, expert: int = 20, pull: float = 1.0, logits: Logits = "current"):
        super().__init__(logits)
        for name, value in (("general", general), ("expert", expert)):
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        if pull < 0:
            raise ValueError(f"pull={pull:g} must not be negative")
        self.general = general
        self.expert = expert
        self.pull = pull

    def made(self, network: Network, blocks: Sequence[Block]) -> tuple[Prompts, Sequence[Place]]:
        width, features = blocks[0].width, network.feature_dim
        like, task = network.scale, self.task
        self.new = DualPrompts(self.general, self.expert, width, features, self.pull, task, like)
        return self.new, [Prefix(blocks[number].attention) for number in (*_GENERAL, *_EXPERT)]

    def before_training_exp(self, step: Step) -> None:
        self.new.begin(self.generator)
