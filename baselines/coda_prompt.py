"""CODA-Prompt: prefixes that are sums of weighted components."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from baselines.shared.growing import Growing
from baselines.shared.orthogonal import orthonormal_rows
from baselines.shared.prefixes import Prefix
from baselines.shared.prompted import GrowingPrompts, Prompts
from baselines.shared.two_passes import Place
from methods import Network, Recipe, Step, methods
from methods.heads import logits_of
from methods.scenarios import Logits
from methods.transformers import Block

# The number of blocks, from the first one, whose attention has a prefix.
_BLOCKS = 5
# The least length by which a vector is divided, as in torch's `normalize`.
_LEAST = 1e-12


class Components(Prompts):
    """Each task's components: a prompt P_m, a key K_m and an attention A_m for each block, zero until they are drawn.

    Args:
        components: of a task, in each block.
        length: rows of a prompt: the first half are keys, the others values.
        width: D, the length of a token.
        features: Q, the length of a query.
        ortho: see CODAPrompt.
        task: the number of the task being learned or evaluated.
        like: a tensor of the type that the parameters get.
    """

    def __init__(self, components: int, length: int, width: int, features: int, ortho: float, task: int, like: Tensor):
        super().__init__()
        self.ortho = ortho
        self.rows = Growing(task, like.new_zeros(_BLOCKS, components, length, width))
        self.keys = Growing(task, like.new_zeros(_BLOCKS, components, features))
        self.attention = Growing(task, like.new_zeros(_BLOCKS, components, features))

    def all(self) -> tuple[Tensor, Tensor, Tensor]:
        """P [blocks, M, length, D], K and A [blocks, M, Q] of the M components so far."""
        rows, keys, attention = (torch.cat(kind.each(), 1) for kind in (self.rows, self.keys, self.attention))
        return rows, keys, attention

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Give the newest components random values, orthogonal to each other and to the earlier ones."""
        for kind in (self.rows, self.keys, self.attention):
            *earlier, new = (each.flatten(2) for each in kind.each())
            before = torch.cat(earlier, 1) if earlier else new[:, :0]
            kind.newest().copy_(orthonormal_rows(before, new.shape[1], generator).view_as(kind.newest()))

    def weights(self, query: Tensor) -> Tensor:
        """cos(q * A_m, K_m) for queries [N, Q]: [N, blocks, M]."""
        _, keys, attention = self.all()
        form = keys.shape[:2]
        keys, attention = keys.flatten(0, 1), attention.flatten(0, 1)
        # No product of each query with each A_m: q A K and (q A)^2 are products of matrices.
        products = logits_of(query, attention * keys)
        squares = logits_of(query.to(keys.dtype).square(), attention.square())
        lengths = squares.sqrt().clamp(min=_LEAST) * keys.norm(dim=1).clamp(min=_LEAST)
        return (products / lengths).unflatten(1, form)

    def given(self, query: Tensor) -> list[tuple[Tensor, ...]]:
        """Queries [N, Q] -> keys and values of each block."""
        rows = self.all()[0]
        sums = torch.bmm(self.weights(query).transpose(0, 1), rows.flatten(2)).unflatten(2, rows.shape[2:])
        return [each.chunk(2, 1) for each in sums]

    def penalty(self, query: Tensor) -> Tensor:
        return self.ortho * sum(self._departures(), start=query.new_zeros(()))

    def _departures(self) -> Iterator[Tensor]:
        """How far the components of each kind are from orthonormal, summed over the blocks."""
        for vectors in self.all():
            flat = vectors.flatten(2)
            unit = torch.eye(flat.shape[1], dtype=flat.dtype, device=flat.device)
            yield (flat @ flat.mT - unit).square().mean((1, 2)).sum()


@methods.register("coda-prompt")
class CODAPrompt(GrowingPrompts):
    """CODA-Prompt (Smith et al., CVPR 2023, arXiv 2211.13218).

    q is the feature vector of an image from the frozen backbone in evaluation mode. In a second pass the attention of
    blocks 0 to 4 has further keys and values, after the projection: the first and the second half of the rows of

    p = sum_m cos(q * A_m, K_m) P_m,

    with the product q * A_m by element. Each block has its own components (P_m, K_m, A_m). A task adds `components` of
    them and trains these alone; those of earlier tasks take part. So no task must know how many there will be: after
    ten tasks there are the paper's 100. Before a task is learned its components are drawn at random, of length 1,
    and orthogonal to each other and to the earlier ones, P_m as one vector (Gram-Schmidt).

    L = CE + ortho * sum over the blocks of |P P^T - I|^2 + |K K^T - I|^2 + |A A^T - I|^2, where |.|^2 is the mean of
    the squares over all pairs of components. CE is over the classes of the current task (`logits`). The head is trained
    too, and reads the network's features. A task adds 5 * components * (length * D + 2 D) values, 384,000 on a
    ViT-B/16. Both passes are counted.

    Args:
        components: how many a task adds in each block. If there is no room for more orthogonal vectors, one is
            orthogonal to as many of those right before it as there is room for.
        length: rows of P_m: half of them are keys, half of them values.
        ortho: the paper's lambda.
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, of the "current" task's
            only, or of "all" classes of the stream.

    Differs from the paper:
        components: each task adds `components`. The paper divides 100 among the tasks, whose number it knows.
        penalty: the mean over all pairs, as in the authors' code. The paper has the sum; `ortho` is the paper's .1,
            and 0 in the authors' code now.
    """

    any_layout = True
    recipe = Recipe(optimizer="adam", lr=0.003, schedule="cosine")
    least_blocks = _BLOCKS

    def __init__(self, components: int = 10, length: int = 8, ortho: float = 0.1, logits: Logits = "current"):
        super().__init__(logits)
        if components < 1:
            raise ValueError(f"components={components} must be at least 1")
        if length < 2 or length % 2:
            raise ValueError(f"length={length} must be an even number from 2 on")
        if ortho < 0:
            raise ValueError(f"ortho={ortho:g} must not be negative")
        self.components = components
        self.length = length
        self.ortho = ortho

    def made(self, network: Network, blocks: Sequence[Block]) -> tuple[Prompts, Sequence[Place]]:
        width, features = blocks[0].width, network.feature_dim
        like, task = network.scale, self.task
        self.drawn = Components(self.components, self.length, width, features, self.ortho, task, like)
        return self.drawn, [Prefix(block.attention) for block in blocks[:_BLOCKS]]

    def before_training_exp(self, step: Step) -> None:
        self.drawn.draw(self.generator)
