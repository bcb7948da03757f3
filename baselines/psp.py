"""Parameter superposition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from baselines.shared.bits import pack_bits, packable, unpack_bits
from baselines.shared.finetuning import FineTuning
from baselines.shared.weights import weights, weights_for
from methods import methods
from methods.method import BNPolicy, Part

if TYPE_CHECKING:
    from methods.network import Network


class Context(nn.Module):
    """A parametrisation, W -> W * o, with signs o that all outputs share.

    Args:
        signs: +1 and -1, [C_in / groups, k, k] of a convolution, [inputs] of a linear layer.
        stored: whether the signs are part of the state.
    """

    signs: Tensor

    def __init__(self, signs: Tensor, stored: bool):
        super().__init__()
        self.register_buffer("signs", signs, persistent=stored)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.signs


@methods.register("psp")
class PSP(FineTuning):
    """Parameter superposition (Cheung et al., 2019, arXiv 1902.05522), with binary contexts.

    y = layer(x, W * o_t) for every convolution and linear layer, those of attention included: W is shared and trained
    by every task; o_t in {+1, -1}^(C_in * k * k), or {+1, -1}^inputs, is random, belongs to the task, and is the same
    for all outputs. Through its context a task sees its own weights, plus noise from other tasks, because sums of
    products of unrelated signs nearly cancel. o_1 is all ones, so the first task starts from the backbone as given.

    Under another context a layer's outputs have another mean and another variance. So by default each task keeps batch
    normalisation of its own, 4C values: statistics that later tasks overwrite are those of another context, and with
    them an old task answers nearly at random, although its weights are still there. What is trained is the same, bit
    for bit, as with `bn=shared`: a task goes on where the last one left the weights and batch normalisation.

    Args:
        contexts: "seed": drawn from the seed whenever needed, nothing is stored; "stored": one bit each.
        bn: batch normalisation "per-task", "shared" by all tasks, or "frozen" as the backbone's.

    Differs from the paper:
        statistics: the code normalises by the test batch and has no running statistics; here they are the task's own,
            because an answer must not depend on the other images of its batch.
        scale and shift: batch normalisation has both, as in the backbone, and they belong to the task; the code has
            none of them.
        first context: all ones, so that the first task starts from the pretrained backbone; there it is random, and so
            are the first weights.
        layers: the first convolution has a context too, and each task has a head without one; in the code it is the
            other way round, with one head for all tasks.
    """

    any_layout = True

    def __init__(self, contexts: Literal["seed", "stored"] = "seed", bn: BNPolicy = "per-task"):
        super().__init__(bn)
        self.contexts = contexts

    def adapt(self, network: Network) -> None:
        for layer, name in weights_for(network, "psp"):
            weight = getattr(layer, name)
            signs = self.draw(weight.shape[1:])
            register_parametrization(layer, name, Context(signs.to(weight), self.contexts == "stored"))

    def switch_task(self, network: Network) -> None:
        # In the order of `adapt`: torch lists the contexts of an attention's matrix behind those of its last layer.
        for layer, name in weights(network):
            for module in layer.get_submodule(f"parametrizations.{name}").children():
                if isinstance(module, Context):
                    module.signs.copy_(self.draw(module.signs.shape))

    def draw(self, shape: torch.Size) -> Tensor:
        """The signs of the task for the next layer, on the CPU."""
        signs = torch.ones(shape, device="cpu")
        if self.task > 1:
            signs -= 2 * torch.randint(2, shape, generator=self.generator, device="cpu")
        return signs

    def part(self, module: nn.Module, name: str) -> Part:
        return "task" if isinstance(module, Context) else super().part(module, name)

    def stored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors | {name: pack_bits(tensors[name] > 0) for name, _, _ in packable(network, tensors, Context)}

    def restored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        signs = {
            name: torch.where(unpack_bits(tensors[name], live.shape), 1.0, -1.0)
            for name, _, live in packable(network, tensors, Context)
        }
        return tensors | signs
