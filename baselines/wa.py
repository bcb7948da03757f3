"""Weight aligning: new classes get weight vectors as long as those of old classes."""

from __future__ import annotations

import torch

from baselines.shared.distilled import Distilled, softened
from methods import Step, methods

# The paper's temperature of distillation.
_TEMPERATURE = 2.0


@methods.register("wa")
class WA(Distilled):
    """Weight aligning (Zhao et al., 2020, arXiv 1911.07053).

    L = (1 - lambda) * CE + lambda * CE(softmax(z_old / 2), softmax(z / 2)), the second among the classes of earlier
    tasks, where z_old are the logits of the network as the last task left it, in evaluation mode; lambda is the share
    of these classes among all so far. An epoch goes over the task's images and the exemplars, mixed at random. After
    each task but the first, the weight vectors of the new classes are multiplied by the mean length of the old classes'
    vectors over that of the new ones'. Biases stay as they are, and weights are not clipped to be positive.

    The memory has equally many exemplars of each class, at least one, chosen by herding.

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
    """

    any_layout = True

    def before_backward(self, step: Step) -> None:
        if self.task > 1:
            old = step.model.heads.old
            share = old / step.logits.shape[1]
            distilled = softened(step.logits[:, :old], self.old_logits(step), _TEMPERATURE)
            step.loss = (1 - share) * step.loss + share * distilled

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        super().after_training_exp(step)
        if self.task > 1:
            model = step.model
            weight, _ = model.heads.take(model.head_key).values()
            old, new = weight[: model.heads.old], weight[model.heads.old :]
            new *= old.norm(dim=1).mean() / new.norm(dim=1).mean()
