"""A template of a method, with every hook. Copy it, rename it, and delete what you do not need.

    python -m benchmark check my_method.py
    python -m benchmark run --plugin my_method.py --methods sgd,my-method,my-method:strength=3

This one keeps the mean feature vector of the last task, and pays for minibatches whose mean is far from it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from methods import BatchNorm, Method, Network, Part, Range, Recipe, Samples, Start, Step, methods


@methods.register("my-method")  # the name on the command line
class MyMethod(Method):
    """One line about the method, with its paper (Author et al., year, arXiv number).

    L = CE + strength/2 * |m - m*|^2, m the mean feature of the minibatch, m* its moving average over the last task.

    Args:
        strength: weight of the penalty.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
    """

    # How it is trained unless the user says otherwise, and what `tune` tries. All of these have defaults.
    learns_in_steps = True  # False: no epochs, only the hooks before and after; for what is computed, not trained
    recipe = Recipe(optimizer="sgd", lr=0.03, momentum=0.9, clip=1.0, schedule="cosine")
    search = {"lr": Range(1e-3, 0.3), "strength": Range(0.01, 10.0)}
    shared_head = False  # True: one head for all tasks
    scenarios = ("task",)  # also "class", "domain": one head answers for all tasks, so no tensor belongs to one
    trains_old_heads = False  # True: the heads of earlier tasks are there, and trained, as replay needs it
    isolates_tasks = False  # True: nothing that a task's answers depend on changes once it is learned
    continues = False  # True: all tensors of the part "task" start where the last task left them; see `starts_at`
    starts_over = False  # True: each task starts from the backbone as given
    any_layout = False  # True: no weight goes through view() or parameters_to_vector; faster on a GPU

    # Each option has a type and is stored under its own name. A bad value is a ValueError, in a sentence.
    def __init__(self, strength: float = 0.1, bn: Literal["shared", "frozen"] = "shared"):
        super().__init__()
        if strength < 0:
            raise ValueError(f"strength={strength:g} must not be negative")
        self.strength = strength
        self.bn = bn

    # The network, before a task is learned and before one answers.

    def adapt(self, network: Network) -> None:
        """Add modules of your own to network.backbone, if there are any."""

    def switch_task(self, network: Network) -> None:
        """What `adapt` makes from self.task or self.generator: see "Modules of your own" in CONTRIBUTING.md."""

    def part(self, module: nn.Module, name: str) -> Part:
        """Of each tensor: "frozen", "shared" by all tasks, or of this "task" alone."""
        return self.bn if isinstance(module, BatchNorm) else "shared"

    def starts_at(self, module: nn.Module, name: str) -> Start:
        """Where a later task's own tensor starts: "initial" value, or where "first-task" or "last-task" left it."""
        return "initial"

    def trains(self, module: nn.Module, name: str) -> bool:
        """Whether this task may change a tensor that is not frozen."""
        return True

    def stored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The form in which tensors are stored, as masks in bits; `restored` is its inverse."""
        return tensors

    def restored(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The values of stored tensors."""
        return tensors

    def lr_scale(self, name: str) -> float:
        """What the learning rate is multiplied by for a parameter, as for a backbone that learns more slowly."""
        return 1.0

    # The training, in the order in which things happen. What crosses to the next task goes into self.kept.

    def trains_task(self) -> bool:
        """Whether self.task is learned in gradient steps, and not in the hooks before and after them alone."""
        return self.learns_in_steps

    def may_end(self, epoch: int, epochs: int) -> bool:
        """Whether early stopping may end the task after this epoch; False until the last stage of several begins."""
        return True

    def training_data(self, data: Samples, network: Network) -> Samples:
        """What the epochs go over."""
        return data

    def before_training_exp(self, step: Step) -> None:
        """Once, before the first epoch of a task. A new instance was made: only self.kept is left of earlier tasks."""
        # On the device of the step, which has no values when only costs are asked for ("meta").
        self.mean = torch.zeros(step.model.feature_dim, device=step.device)

    def before_training_epoch(self, step: Step) -> None:
        """Before each epoch."""

    def before_training_iteration(self, step: Step) -> None:
        """Before each step: step.images and step.labels are there."""

    def before_forward(self, step: Step) -> None:
        """Before the forward pass."""

    def forward(self, step: Step) -> Tensor:
        """The minibatch's logits."""
        self.features = step.model.features(step.images)
        return step.model.answer(self.features)

    def after_forward(self, step: Step) -> None:
        """step.logits are there; the loss is not yet."""

    def before_backward(self, step: Step) -> None:
        """step.loss is there: add to it here. Tests ask for names in self.kept, never for values of tensors."""
        if "mean" in self.kept:
            step.loss += self.strength / 2 * (self.features.mean(0) - self.kept["mean"]).square().sum()

    def after_backward(self, step: Step) -> None:
        """Gradients are there, and may be changed in place; a parameter without one has grad None."""

    def before_update(self, step: Step) -> None:
        """Right before the optimiser's step."""

    @torch.no_grad()
    def after_update(self, step: Step) -> None:
        """Right after it: the place to put weights right."""

    @torch.no_grad()
    def after_training_iteration(self, step: Step) -> None:
        """At the end of each step."""
        # With --precision bf16 features are in bfloat16.
        self.mean = self.mean.lerp(self.features.float().mean(0), 0.1)

    def after_training_epoch(self, step: Step) -> None:
        """After each epoch."""

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        """Once, after the last epoch: fill self.kept. It is stored, counted and restored because it is there."""
        self.kept["mean"] = self.mean
