"""PackNet."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, register_parametrization

from baselines.shared.finetuning import FineTuning
from baselines.shared.kth import kth_smallest
from baselines.shared.ownership import Ownership, owned_layers, owners_from_bits, owners_to_bits
from baselines.shared.weights import plain_weights
from methods import BatchNorm, Method, Network, Part, Range, Step, methods


@methods.register("packnet")
class PackNet(Method):
    """PackNet (Mallya and Lazebnik, 2018, arXiv 1711.05769).

    A task trains the free weights of every convolution and linear layer, those of attention included. Then it prunes
    those with the smallest |w| in each layer and trains the rest on. It keeps the rest for ever; the pruned ones are
    free for later tasks. A task sees its own weights and those of earlier tasks. In total this costs ceil(log2(T + 1))
    bits a weight after T tasks.

    The first task starts from the backbone as given. For later tasks the free weights are 0, as published, so they
    start as the network of the previous task. There is no symmetry to break: the gradient of a free weight depends on
    the kept weights around it, which differ. Shares are rounded down, so a task keeps at least one weight if one is
    free, unless weights are equally small: then all of these are pruned, as those that got no gradient. Without a
    weight of its own it uses those of earlier tasks. Everything else than these weights, biases too, is trained by the
    first task only.

    Args:
        pruned: the share of its free weights that a task prunes.
        train_share: the share of the epochs before pruning; a single epoch comes before it.
        bn: "first-task": the first task trains batch normalisation, and then it is fixed, as published; "per-task":
            each task has its own, affine and statistics, 4C values, which start at those of the previous task.

    Differs from the paper:
        pretraining: it is no task, so that the first task changes all pretrained weights and prunes them. In the paper
            ImageNet is the first task, and its weights are kept.
    """

    # With channels-last weights the first task would start as the backbone but for rounding.
    any_layout = False
    recipe = FineTuning.recipe
    isolates_tasks = True
    continues = True
    grows_evenly = False
    search = {"lr": Range(1e-3, 0.3), "pruned": (0.5, 0.75, 0.9)}

    def __init__(
        self, pruned: float = 0.75, train_share: float = 2 / 3, bn: Literal["first-task", "per-task"] = "first-task"
    ):
        super().__init__()
        for name, share in (("pruned", pruned), ("train_share", train_share)):
            if not 0 < share < 1:
                raise ValueError(f"{name}={share:g} must be above 0 and below 1")
        self.pruned = pruned
        self.train_share = train_share
        self.bn = bn

    def adapt(self, network: Network) -> None:
        for layer, name in plain_weights(network, "packnet"):
            register_parametrization(layer, name, Ownership(getattr(layer, name).detach(), self.task))

    def switch_task(self, network: Network) -> None:
        for _, ownership in owned_layers(network):
            ownership.task = self.task

    def part(self, module: nn.Module, name: str) -> Part:
        return "task" if isinstance(module, BatchNorm) and self.bn == "per-task" else "shared"

    def trains(self, module: nn.Module, name: str) -> bool:
        return self.task == 1 or isinstance(module, ParametrizationList) or self.part(module, name) == "task"

    def before_training_exp(self, step: Step) -> None:
        self.layers = owned_layers(step.model)
        for _, ownership in self.layers:
            # Until it prunes, a task has all free weights.
            ownership.owner.masked_fill_(ownership.owner == 0, self.task)
        self.hold()

    def hold(self) -> None:
        """Keep the present values of the weights that must not change."""
        for weight, ownership in self.layers:
            ownership.hold(weight)

    @torch.no_grad()
    def after_update(self, step: Step) -> None:
        # Momentum and weight decay move a weight even without a gradient.
        for weight, ownership in self.layers:
            ownership.restore(weight)

    def after_training_epoch(self, step: Step) -> None:
        if step.epoch == self.last_before_pruning(step.epochs):
            self.prune()
            self.hold()

    def last_before_pruning(self, epochs: int) -> int:
        return max(1, round(self.train_share * epochs))

    def may_end(self, epoch: int, epochs: int) -> bool:
        return epoch >= self.last_before_pruning(epochs)

    @torch.no_grad()
    def prune(self) -> None:
        """In each layer, set the task's smallest weights to 0, and free them."""
        for weight, ownership in self.layers:
            own = ownership.own()
            count = 0 if weight.is_meta else int(self.pruned * int(own.sum()))
            if count:
                cutoff = kth_smallest(weight[own].abs(), count)
                smallest = own & (weight.abs() <= cutoff)
                weight.masked_fill_(smallest, 0.0)
                ownership.owner.masked_fill_(smallest, 0)

    def stored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return owners_to_bits(network, tensors, last=self.task)

    def restored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return owners_from_bits(network, tensors)
