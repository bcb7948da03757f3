"""A slow learner with classifier alignment."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.shared.exemplars import with_values
from baselines.shared.finetuning import FineTuning, OnePassBN
from baselines.shared.gaussians import factors, fitted, samples
from methods import Range, Recipe, Step, methods
from methods.heads import is_head, named

_COVARIANCES = "covariances."
_UNALIGNED = "unaligned."


@methods.register("slca")
class SLCA(FineTuning):
    """Slow learner with classifier alignment (Zhang et al., 2023, arXiv 2303.05118).

    The whole network is trained on the loss over the new classes, and all but the head at the learning rate times
    `slow`. After a task the mean mu and the covariance Sigma of the features of each of its classes are kept, D + D^2
    values a class: 2.4 MB a class with D = 768. They stay as they are when the network changes later. As in the
    authors' code 1e-4 I is added to Sigma; or 1.2e-7 of its trace, its rounding, if that is more.

    From the second task on, the head of all classes is then trained again, by SGD, on samples of these distributions:
    f ~ N(s mu, Sigma), s = 0.9 + 0.1 t / T for a class of task t of the T so far. In each of `align` epochs there are
    `samples` of each class, in as many batches as there are classes. The loss is that of z / (temperature * mean over
    tasks of |z_t|), where z_t are the logits of task t's classes. This head answers. The one from before is kept, D + 1
    values a class, and the next task goes on with it, as in the authors' code.

    Args:
        slow: the factor of the learning rate of all but the head.
        align: epochs of the alignment, at the recipe's learning rate, which falls to 0 like a cosine.
        samples: samples of each class in an epoch, and rows of a batch.
        temperature: what normalised logits are divided by in the alignment.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's; its statistics would not be slow.

    Differs from the paper:
        learning rate: it falls like a cosine. The authors' code divides it by ten after given epochs.
        covariance: 1.2e-7 of its trace is added if that is more than 1e-4. The authors' code always adds 1e-4.
    """

    any_layout = True
    recipe = Recipe(lr=0.01, weight_decay=5e-4)
    search = {"lr": Range(1e-3, 0.3), "slow": Range(1e-3, 0.1)}
    scenarios = ("class",)
    trains_old_heads = True
    left_on_cpu = (_COVARIANCES,)

    def __init__(
        self,
        slow: float = 0.01,
        align: int = 5,
        samples: int = 256,
        temperature: float = 0.1,
        bn: OnePassBN = "frozen",
    ):
        super().__init__(bn, logits="current")
        if not 0 < slow <= 1:
            raise ValueError(f"slow={slow:g} must be above 0 and at most 1: it is a share of the learning rate")
        if align < 0:
            raise ValueError(f"align={align} must not be negative")
        if samples < 1:
            raise ValueError(f"samples={samples} must be at least 1")
        if temperature <= 0:
            raise ValueError(f"temperature={temperature:g} must be above 0")
        self.slow = slow
        self.align = align
        self.samples = samples
        self.temperature = temperature

    def lr_scale(self, name: str) -> float:
        return 1.0 if is_head(name) else self.slow

    def before_training_exp(self, step: Step) -> None:
        model = step.model
        if f"{_UNALIGNED}weight" in self.kept:
            model.heads.place(named(model.head_key, *(self.kept[f"{_UNALIGNED}{name}"] for name in ("weight", "bias"))))
        # The weight decay changes rows of the head that have no gradient.
        trained = model.heads.take(model.head_key)
        self._old = {name: tensor.detach()[: model.heads.closed].clone() for name, tensor in trained.items()}

    def after_training_exp(self, step: Step) -> None:
        model = step.model
        model.heads.place(self._old)
        self._keep_distributions(step)
        if self.task > 1 and self.align:
            for name, tensor in zip(("weight", "bias"), model.heads.take(model.head_key).values(), strict=True):
                self.kept[f"{_UNALIGNED}{name}"] = tensor.detach().clone()
            self._align(step)

    @torch.no_grad()
    def _keep_distributions(self, step: Step) -> None:
        new, like = step.model.heads.tasks[-1], step.model.scale
        batches = list(step.task_features())
        features = torch.cat([features for features, _ in batches])
        labels = with_values(torch.cat([labels for _, labels in batches]), new)
        found = [fitted(features[labels == column], like) for column in new]
        means, covariances = (torch.stack(moments) for moments in zip(*found, strict=True))
        self.kept["means"] = torch.cat([self.kept["means"], means]) if self.task > 1 else means
        self.kept[f"{_COVARIANCES}{self.task}"] = covariances

    def _align(self, step: Step) -> None:
        """Train the head again, on samples of all classes."""
        head, like = step.model.heads, step.model.scale
        means = self.kept["means"] * shrinkage(head.tasks)[:, None].to(like)
        kept = (self.kept[f"{_COVARIANCES}{task}"] for task in range(1, self.task + 1))
        roots = factors([covariance for own in kept for covariance in own], like)
        group = max(step.optimizer.param_groups, key=lambda group: group["initial_lr"])
        lr, weight_decay = group["initial_lr"], group["weight_decay"]
        optimizer = torch.optim.SGD(head.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay)
        labels = torch.arange(len(means), device="cpu").repeat_interleave(self.samples).to(step.device)
        # Without values, one step with the rows of all epochs stands for all steps: it costs as much.
        epochs, repeated = (1, self.align) if like.is_meta else (self.align, 1)
        for epoch in range(epochs):
            optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(epoch / epochs * math.pi)) / 2
            rows = samples(means, roots, self._normal(len(means), self.samples * repeated, like)).flatten(0, 1)
            size = len(rows) if like.is_meta else self.samples
            order = torch.randperm(len(labels), generator=self.generator).to(step.device)
            for some in (order.repeat(repeated) if like.is_meta else order).split(size):
                logits = head.flat(rows[some])
                loss = cross_entropy(logits / (self.temperature * task_norms(logits, head.tasks)), labels[some])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        optimizer.zero_grad()

    def _normal(self, classes: int, count: int, like: Tensor) -> Tensor:
        """Numbers from the normal distribution: [classes, count, D]."""
        shape = classes, count, self.kept["means"].shape[1]
        return like.new_empty(shape) if like.is_meta else torch.randn(shape, generator=self.generator).to(like)


def shrinkage(tasks: Sequence[range]) -> Tensor:
    """What the mean of each class is multiplied by, [classes]: less for classes of early tasks.

    Args:
        tasks: the columns of each task's classes.
    """
    shares = [0.9 + 0.1 * t / len(tasks) for t, own in enumerate(tasks, 1) for _ in own]
    return torch.tensor(shares, dtype=torch.float64, device="cpu")


def task_norms(logits: Tensor, tasks: Sequence[range]) -> Tensor:
    """The mean over tasks of the length of a row's logits of that task's classes: [n, 1]."""
    norms = [torch.linalg.vector_norm(logits[:, own.start : own.stop], dim=1) for own in tasks]
    return torch.stack(norms, 1).mean(1, keepdim=True) + 1e-7
