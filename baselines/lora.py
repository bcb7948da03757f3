"""Low-rank adaptation of attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from baselines.shared.low_rank import LowRank, Rows
from baselines.shared.per_task import PerTask
from methods import methods
from methods.errors import UserError, cannot
from methods.recipe import Range, Recipe
from methods.transformers import Block, blocks, qkv


@methods.register("lora")
class LoRA(PerTask):
    """Low-rank adaptation (Hu et al., 2021, arXiv 2106.09685) of a frozen transformer.

    W_t = W + alpha / rank * B_t A_t, where W [D, D] makes the queries or the values of a block, each with its own
    A_t [rank, D] and B_t [D, rank]. B_t starts at zero, so the network starts as the backbone: 4 * rank * D values for
    each block and task, 294,912 in all for a ViT-B/16. W_t is computed once in each step, and once for all images that
    are answered. So training computes the gradient of the whole weight that makes queries, keys and values.

    Args:
        rank: r.
        alpha: the change is multiplied by alpha / rank.
        targets: the weights that change: "qv" of queries and values; "qkv" of keys too; "all" also that of the output
            of attention, and those of the perceptron.

    Differs from the paper:
        network: a vision transformer, with a head per task. The paper adapts language models.
        start: A_t is drawn from a uniform distribution, as in the authors' code; the paper's is Gaussian.
        dropout: none. The authors' code can have it before A, and their example for GPT-2 does.
    """

    any_layout = True
    own = (LowRank,)
    # On mini-vit 0.01 is better (86.7 % of validation images, 82.9 with this), but a ViT-S does not learn with it.
    recipe = Recipe(optimizer="adam", lr=0.003)
    search = {"lr": Range(3e-4, 0.03), "rank": (1, 2, 4, 8, 16), "targets": ("qv", "qkv", "all")}

    def __init__(self, rank: int = 8, alpha: float = 16.0, targets: Literal["qv", "qkv", "all"] = "qv"):
        super().__init__(bn="frozen")
        if rank < 1:
            raise ValueError(f"rank={rank} must be at least 1")
        if alpha <= 0:
            raise ValueError(f"alpha={alpha:g} must be positive")
        self.rank = rank
        self.alpha = alpha
        self.targets = targets

    def adapt(self, network: nn.Module) -> None:
        found = blocks(network)
        if not found:
            instead = "use conv-lora, which works on convolutions, or give a transformer, as --backbone mini-vit"
            raise UserError(cannot(self.name, "it works on the attention of a transformer, and there is none", instead))
        scale = self.alpha / self.rank
        for block in found:
            owner, name, _ = qkv(block.attention)
            queries, keys, values = getattr(owner, name).chunk(3)
            change = [
                LowRank(queries, self.rank, scale),
                nn.Identity() if self.targets == "qv" else LowRank(keys, self.rank, scale),
                LowRank(values, self.rank, scale),
            ]
            register_parametrization(owner, name, Rows(change))
            for layer in _others(block) if self.targets == "all" else ():
                register_parametrization(layer, "weight", LowRank(layer.weight, self.rank, scale))


def _others(block: Block) -> Iterator[nn.Linear]:
    """The linear layer after attention, and those of the perceptron."""
    for layer in block.attention.modules():
        # Not that of queries, keys and values, nor Swin's layers for the table of positions.
        if isinstance(layer, nn.Linear) and layer.in_features == layer.out_features == block.width:
            yield layer
    for layer in block.mlp.modules():
        if isinstance(layer, nn.Linear):
            yield layer
