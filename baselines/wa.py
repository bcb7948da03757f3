"""Weight aligning: new classes get weight vectors as long as those of old classes."""

from __future__ import annotations

import torch

from baselines.shared.distilled import Softened, old_classes
from methods import Step, methods


@methods.register("wa")
class WA(Softened):
    """Weight aligning (Zhao et al., 2020, arXiv 1911.07053).

    L = (1 - lambda) * CE + lambda * CE(softmax(z_old / 2), softmax(z / 2)), the second among the classes of earlier
    tasks, where z_old are the logits of the network as the last task left it, in evaluation mode; lambda is the share
    of these classes among all so far. An epoch goes over the task's images and the exemplars, mixed at random. After
    each task but the first, the weight vectors of the new classes are multiplied by the mean length of the old classes'
    vectors over that of the new ones'; biases stay as they are. So that the length of a vector tells how large its
    logits are, for features that come from a ReLU, its negative values are set to 0 after each step.

    The memory has equally many exemplars of each class, the first ones in the order of herding, so that it is not
    always full; with fewer places than classes, only the first classes have one.

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.

    Differs from the paper:
        start: the backbone as given, pretrained if that is. The paper's networks start from random weights.
        learning rate: it falls like a cosine. The paper's is divided by ten after given epochs.
    """

    any_layout = True

    @torch.no_grad()
    def after_update(self, step: Step) -> None:
        weight, _ = step.model.heads.take(step.model.head_key).values()
        weight.clamp_(min=0)

    @torch.no_grad()
    def after_training_exp(self, step: Step) -> None:
        super().after_training_exp(step)
        if self.task > 1:
            weight, _ = step.model.heads.take(step.model.head_key).values()
            old, new = weight.tensor_split([old_classes(step)])
            length, wanted = new.norm(dim=1).mean(), old.norm(dim=1).mean()
            # If all new weights were clipped to 0, they stay 0.
            new *= torch.where(length > 0, wanted / length, 1.0)
