"""Bias correction: two values that correct the logits of new classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from baselines.shared.distilled import Softened
from baselines.shared.exemplars import of_each_class, with_values
from methods import Network, Samples, Step, methods

# What keeps alpha near 1 and beta near 0, so that there is one best pair, however few images were held out.
_RIDGE = 1e-3


@methods.register("bic")
class BiC(Softened):
    """Bias correction (Wu et al., 2019, arXiv 1905.13260).

    L = (1 - lambda) * CE + lambda * CE(softmax(z_old / 2), softmax(z / 2)), the second among the classes of earlier
    tasks, where z_old are the logits of the network as the last task left it, corrected, in evaluation mode; lambda is
    the share of these classes among all so far. An epoch goes over the task's images and the exemplars, mixed at
    random, but for a tenth of a class's exemplars, and as many images of each new class: from these held-out images,
    each task but the first finds alpha and beta, with the network as it is. The logits of its classes become
    alpha * z + beta. The pair is that of the least CE + 0.0005 * ((alpha - 1)^2 + beta^2). It is put into the head, and
    taken out of it before the next task is learned, so that only the teacher and the answers are corrected.

    The memory has equally many exemplars of each class, the first ones in the order of herding, so that it is not
    always full; with fewer places than classes, only the first classes have one. If a class has a single one, the
    held-out images are trained on too.

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.

    Differs from the paper:
        correction: alpha and beta are those of the least loss, with a small pull of both, to 1 and 0. The authors' code
            makes steps of SGD with momentum, and its loss has 0.05 * beta^2 beside the cross entropy; alpha is free.
    """

    any_layout = True

    def training_data(self, data: Samples, network: Network) -> Samples:
        """The task's images and the exemplars without those that are held out."""
        if self.task == 1:
            return data
        stored = self.past.rows()
        labels = torch.cat([with_values(data.labels, network.heads.tasks[-1]), stored["labels"].long()])
        counts = labels.bincount()
        fewest = int(counts.min())
        held = held_out(labels, max(1, fewest // 10), self.generator)
        trained = torch.arange(len(labels)) if fewest <= 1 else _others(held, len(labels))

        def chosen(rows: Tensor) -> Samples:
            own, old = rows[rows < len(data)], rows[rows >= len(data)] - len(data)
            images = torch.cat([data.images[own], stored["images"][old]])
            return Samples(images, labels[rows].to(data.labels.device))

        self.held = chosen(held)
        return chosen(trained)

    def before_training_exp(self, step: Step) -> None:
        super().before_training_exp(step)
        if "correction" in self.kept:
            alpha, beta = self.kept["correction"]
            correct(step.model, step.model.heads.tasks[-2], 1 / alpha, -beta / alpha)

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        super().after_training_exp(step)
        if self.task > 1:
            network, new = step.model.eval(), step.model.heads.tasks[-1]
            images = self.held.images.split(step.batch_size)
            logits = torch.cat([network(part.to(step.device)) for part in images])
            network.train()
            alpha, beta = self.kept["correction"] = best_correction(logits, self.held.labels, new)
            correct(network, new, alpha, beta)


def held_out(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` rows of each class at random, or all if it has fewer: int64, ascending.

    Args:
        labels: int64 [N].
    """
    order = torch.randperm(len(labels), generator=generator)
    by_class = order[labels[order].argsort(stable=True)]
    return by_class[of_each_class(labels[by_class], count)].sort().values


def best_correction(logits: Tensor, labels: Tensor, new: range) -> Tensor:
    """(alpha, beta) of the least loss: see `BiC`. The loss is convex, so it has one minimum. Ones without values.

    Args:
        logits: [N, classes], of the images that were held out.
        labels: int64 [N].
        new: the columns that are corrected.
    """
    if logits.is_meta:
        return logits.new_ones(2)
    fixed, own = logits.cpu().double(), torch.zeros(logits.shape[1], dtype=torch.bool)
    own[new.start : new.stop] = True
    pair = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([pair], max_iter=100, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        alpha, beta = pair
        away = (alpha - 1).square() + beta.square()
        total = cross_entropy(torch.where(own, alpha * fixed + beta, fixed), labels.cpu()) + _RIDGE / 2 * away
        total.backward()
        return total

    with torch.enable_grad():
        solver.step(loss)
    return pair.detach().to(logits)


@torch.no_grad()
def correct(network: Network, columns: range, factor: Tensor, shift: Tensor) -> None:
    """Change the head, so that the logits of these columns become factor * z + shift."""
    weight, bias = network.heads.take(network.head_key).values()
    weight[columns.start : columns.stop] *= factor
    bias[columns.start : columns.stop] *= factor
    bias[columns.start : columns.stop] += shift


def _others(rows: Tensor, count: int) -> Tensor:
    """The rows that are left of so many, ascending."""
    left = torch.ones(count, dtype=torch.bool)
    left[rows] = False
    return left.nonzero()[:, 0]
