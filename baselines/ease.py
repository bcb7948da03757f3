"""An adapter per task, and prototypes of all classes in the space of each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from baselines.shared.adapters import Adapter, add_adapters, check_adapters
from baselines.shared.frozen_features import grown, members
from baselines.shared.passes import Passes, logits_of_last, side_by_side, units_side_by_side
from methods import Method, Network, Part, Range, Recipe, Step, methods
from methods.devices import double
from methods.heads import named

_LENGTHS = "lengths"


@methods.register("ease")
class EASE(Method):
    """Expandable subspace ensemble (Zhou et al., 2024, arXiv 2403.12030).

    Each task trains adapters of its own in a frozen backbone, as the method `adapter`, with a linear head and the loss
    over its own classes; then they are fixed. An image passes once through the adapters of each of the T tasks so far,
    and f_j are its features with those of task j. With prototypes w_cj, the answer is the class c, of task i, with the
    largest cos(f_i, w_ci) + alpha / (T - 1) * sum over j != i of cos(f_j, w_cj).

    w_cj is the mean of f_j over the images of c. For a later task, j > i, there are none. Then it is made from the
    classes b of the tasks from j on: w_cj = sum_b s_cb w_bj, where s_cb is the softmax over b of cos(w_ci, w_bi).

    The prototypes are in the head, D values a class and task, as units times the factors above; their lengths are kept
    beside it. Answers of T tasks need T passes.

    Args:
        bottleneck: the width of an adapter.
        scale: of what an adapter adds.
        alpha: the weight of the features with other tasks' adapters, .1 as in the authors' code.

    Differs from the paper:
        head: adapters train with a linear head. The authors' code has a cosine head.
    """

    any_layout = True
    recipe = Recipe(optimizer="adam", lr=0.01)
    search = {"lr": Range(3e-4, 0.1), "alpha": Range(0.01, 1.0)}
    scenarios = ("class",)
    trains_old_heads = True
    grows_evenly = False

    def __init__(self, bottleneck: int = 64, scale: float = 0.1, alpha: float = 0.1):
        super().__init__()
        check_adapters(bottleneck, scale)
        if alpha <= 0:
            raise ValueError(f"alpha={alpha:g} must be above 0")
        self.bottleneck = bottleneck
        self.scale = scale
        self.alpha = alpha
        self.logits = "current"

    def adapt(self, network: Network) -> None:
        sets = [
            add_adapters(network, self.bottleneck, self.scale, self.name, _name(task))
            for task in range(1, self.task + 1)
        ]
        self.passes = Passes(sets, units_side_by_side)
        self.passes.add(network)
        network.feature_dim *= self.task

    def part(self, module: nn.Module, name: str) -> Part:
        return "shared" if isinstance(module, Adapter) else "frozen"

    def trains(self, module: nn.Module, name: str) -> bool:
        return f".{_name(self.task)}." in name

    def before_training_exp(self, step: Step) -> None:
        # The head is trained too, and the optimiser may change rows that have no gradient.
        weight, _ = step.model.heads.take(step.model.head_key).values()
        self._before = weight.detach().clone()

    def forward(self, step: Step) -> Tensor:
        return logits_of_last(step, self.passes)

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        heads = step.model.heads
        # Task, class and features: [classes, T, D].
        known = double(self._before).unflatten(1, (self.task, -1))
        lengths = grown(self.kept.get(_LENGTHS), (heads.units, self.task), known)
        sums = torch.zeros_like(known).flatten(1)
        images = torch.zeros_like(sums[:, 0])
        with self.passes.joined_by(side_by_side):
            for features, labels in step.task_features():
                own = members(step, labels)
                sums += own.T @ double(features)
                images += own.sum(0)
        new = heads.tasks[-1].start
        prototypes = normalize(known, dim=2) * lengths[:, :, None]
        prototypes[new:] = (sums / images.clamp(min=1)[:, None]).view_as(known)[new:]
        self.kept[_LENGTHS] = torch.linalg.vector_norm(prototypes, dim=2).to(step.model.scale)
        weight = normalize(completed(prototypes, heads.tasks), dim=2)
        weight = weight * reweighting(heads.tasks, self.alpha).to(weight)[:, :, None]
        heads.place(named(step.model.head_key, weight.flatten(1), torch.zeros_like(images)))


def completed(prototypes: Tensor, tasks: Sequence[range]) -> Tensor:
    """The prototypes, and those of old classes in the spaces of later tasks, which are made from similar classes.

    Args:
        prototypes: [classes, T, D]; what is there for a class in the space of a task after its own is not used.
        tasks: the columns of each task's classes.
    """
    found = prototypes.clone()
    for old, own in enumerate(tasks):
        directions = normalize(prototypes[:, old], dim=1)
        for later in range(old + 1, len(tasks)):
            others = slice(tasks[later].start, None)
            similarity = (directions[own.start : own.stop] @ directions[others].T).softmax(1)
            found[own.start : own.stop, later] = similarity @ prototypes[others, later]
    return found


def reweighting(tasks: Sequence[range], alpha: float) -> Tensor:
    """The weight of each class's cosine in the space of each task: [classes, T]."""
    others = alpha / max(len(tasks) - 1, 1)
    rows = [
        [1.0 if task == own else others for task in range(len(tasks))] for own, its in enumerate(tasks) for _ in its
    ]
    return torch.tensor(rows, dtype=torch.float64, device="cpu")


def _name(task: int) -> str:
    """The name of the adapters of a task."""
    return f"adapter_{task}"
