"""L2P: learning to prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from baselines.shared.prompted import Prompted, Prompts, uniform
from baselines.shared.tokens import with_tokens
from baselines.shared.two_passes import Place, cosines, nearest
from methods import Network, methods
from methods.scenarios import Logits
from methods.transformers import Block, tokens_before_patches


class Pool(Prompts):
    """Prompts, and a key for each of them. Both start uniformly between -1 and 1.

    Args:
        size: how many.
        length: tokens of a prompt.
        width: D, the length of a token.
        features: Q, the length of a query.
        chosen: how many prompts an image gets.
        pull: see L2P.
        like: a tensor of the type that the parameters get.
    """

    def __init__(self, size: int, length: int, width: int, features: int, chosen: int, pull: float, like: Tensor):
        super().__init__()
        self.chosen = chosen
        self.pull = pull
        self.tokens = uniform((size, length, width), like)
        self.keys = uniform((size, features), like)

    def given(self, query: Tensor) -> list[Tensor]:
        """Queries [N, Q] -> the tokens of the nearest prompts [N, chosen * length, D]."""
        return [self.tokens[nearest(cosines(query, self.keys), self.chosen)].flatten(1, 2)]

    def penalty(self, query: Tensor) -> Tensor:
        similarity = cosines(query, self.keys)
        return -self.pull * similarity.gather(1, nearest(similarity, self.chosen)).sum(1).mean()


class Tokens:
    """Tokens that go through the blocks beside an image's, and are then read instead of them.

    What follows the blocks sees each of them as an image's only token, and the features are the mean over them.

    Args:
        backbone: the backbone whose features these are.
        blocks: its blocks. Hooks leave the names of its tensors as they were.

    Attributes:
        prompt: the tokens [N, R, D]; None for no such tokens.
    """

    def __init__(self, backbone: nn.Module, blocks: Sequence[Block]):
        self.prompt: Tensor | None = None
        # A network may average the tokens after those that it has before the patches.
        self._copies = 1 + tokens_before_patches(backbone)
        blocks[0].module.register_forward_pre_hook(self._insert)
        blocks[-1].module.register_forward_hook(self._alone)
        backbone.register_forward_hook(self._mean)

    # Bound methods as hooks are copied with the network.

    def _insert(self, block: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self.prompt is None:
            return None
        x, *others = inputs
        return with_tokens(x, self.prompt), *others

    def _alone(self, block: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if self.prompt is None:
            return None
        return output[:, -self.prompt.shape[1] :].flatten(0, 1)[:, None].expand(-1, self._copies, -1)

    def _mean(self, backbone: nn.Module, inputs: tuple[Any, ...], features: Tensor) -> Tensor | None:
        return None if self.prompt is None else features.unflatten(0, (-1, self.prompt.shape[1])).mean(1)


@methods.register("l2p")
class L2P(Prompted):
    """Learning to prompt (Wang et al., CVPR 2022, arXiv 2112.08654).

    q is the feature vector of an image from the frozen backbone in evaluation mode. The prompts of the `chosen` keys
    k_i nearest to q by cosine become tokens beside the image's in a second pass. The head reads the mean over the
    prompts' tokens after the last block and norm, as in the authors' code.

    L = CE - pull * sum over the chosen keys of cos(q, k_i), the mean over the batch. CE is over the classes of the
    current task (`logits`). Prompts, keys and the head are trained; all tasks share them: pool * (length * D + D)
    values in all, 46,080 on a ViT-B/16. Both passes are counted.

    Args:
        pool: how many prompts there are.
        length: tokens of a prompt.
        chosen: prompts that an image gets.
        pull: the paper's lambda, .5 there; the authors' code for CIFAR-100 had .1 at first, and has 1 now.
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's
            only, or of "all" classes of the stream.

    Differs from the paper:
        choice: each image gets its own prompts, in training too. The authors' code by default gives all images of a
            batch the prompts that most of them would choose.
        counts: how often a prompt was chosen makes no difference. In the paper, training can make frequent ones less
            likely.
        length, chosen: 5 and 5, as in the paper and at first in the authors' code for CIFAR-100, which now has 10 and
            4.
        position: prompts have no position embedding, as in the authors' code now. At first they had that of the class
            token.
        start: prompts and keys start between -1 and 1. In the authors' code they start between 0 and .01.
    """

    any_layout = True

    def __init__(self, pool: int = 10, length: int = 5, chosen: int = 5, pull: float = 0.5, logits: Logits = "current"):
        super().__init__(logits)
        for name, value in (("pool", pool), ("length", length), ("chosen", chosen)):
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        if chosen > pool:
            raise ValueError(f"chosen={chosen} must be at most pool={pool}")
        if pull < 0:
            raise ValueError(f"pull={pull:g} must not be negative")
        self.pool = pool
        self.length = length
        self.chosen = chosen
        self.pull = pull

    def made(self, network: Network, blocks: Sequence[Block]) -> tuple[Prompts, Sequence[Place]]:
        width, features = blocks[0].width, network.feature_dim
        prompts = Pool(self.pool, self.length, width, features, self.chosen, self.pull, network.scale)
        return prompts, [Tokens(network.backbone, blocks)]
