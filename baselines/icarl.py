"""iCaRL: exemplars, distillation, and the nearest mean of exemplars."""

from __future__ import annotations

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from baselines.shared.distilled import Distilled
from methods import Step, methods
from methods.heads import named

# The bias of a class without exemplars. It is finite, because the classes of a task may be compared among themselves,
# and there may be exemplars of none of them.
_NEVER = -1e15


@methods.register("icarl")
class ICaRL(Distilled):
    """iCaRL (Rebuffi et al., 2017, arXiv 1611.07725).

    L = sum over all classes so far of BCE(sigmoid(z_y), q_y), the mean over the batch: q_y is 1 for an image's own
    class and 0 for others; but for the classes of earlier tasks it is the sigmoid output of the network as the last
    task left it, in evaluation mode. An epoch goes over the task's images and the exemplars, mixed at random.

    The memory has equally many exemplars of each class, the first ones in the order of herding, so that it is not
    always full; with fewer places than classes, only the first classes have one. An image's answer is the class whose
    exemplars have the nearest mean: features and means have length 1, and means are those in the present network. Then
    the nearest mean is the one with the largest product with the features: so after a task the means are the rows of
    the head, and an answer costs no more than that of another method. The head that was trained is kept for the next
    task. A class without exemplars is never the answer.

    Args:
        memory: capacity, in images (500) or bytes (10MB); the head that is kept counts beside it.
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.

    Differs from the paper:
        loss: the sum over the classes, as the paper writes it. The authors' code takes the mean.
        mirrored images: none. The authors' code takes the means over exemplars and their mirror images.
    """

    any_layout = True

    def before_training_exp(self, step: Step) -> None:
        if self.task > 1:
            model = step.model
            model.heads.place(named(model.head_key, self.kept["trained.weight"], self.kept["trained.bias"]))
        super().before_training_exp(step)

    def before_backward(self, step: Step) -> None:
        columns = torch.arange(step.logits.shape[1], device=step.labels.device)
        targets = (step.labels[:, None] == columns).to(step.logits.dtype)
        if self.task > 1:
            old = self.old_logits(step).sigmoid()
            targets = torch.cat([old, targets[:, old.shape[1] :]], 1)
        total = binary_cross_entropy_with_logits(step.logits, targets, reduction="sum")
        step.loss = total / len(step.labels)

    def after_training_exp(self, step: Step) -> None:
        super().after_training_exp(step)
        model = step.model
        trained = model.heads.take(model.head_key)
        weight, bias = (tensor.detach().clone() for tensor in trained.values())
        self.kept.update({"trained.weight": weight, "trained.bias": bias})
        means = self.past.means(step)
        # A class without exemplars has the mean 0.
        unknown = means.count_nonzero(1) == 0
        model.heads.place(named(model.head_key, means, torch.zeros_like(bias).masked_fill(unknown, _NEVER)))
