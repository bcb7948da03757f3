"""The contract of a method's answers: each is for one image alone, whatever other images pass with it."""

from __future__ import annotations

import torch

from benchmark.checks.base import Check, WrongError
from benchmark.checks.subject import MethodSubject
from benchmark.learning.evaluation import network_for

_BATCHES = (1, 7)


def answers_alone(subject: MethodSubject) -> None:
    """Images get the same answers one by one, in batches of 7, all at once and in another order.

    Logits may differ by rounding, because a matrix product of another size adds its terms in another order.
    """
    state = subject.states[-1]
    images = torch.cat([task.test.images for task in subject.tasks])
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    for number, task in enumerate(subject.tasks, 1):
        network = network_for(subject.cell(), state, number, len(task.classes))
        with torch.inference_mode():
            together = network(images)
            others = {f"in batches of {size}": torch.cat([network(x) for x in images.split(size)]) for size in _BATCHES}
            others["in another order"] = network(images[order])[order.argsort()]
        for how, logits in others.items():
            if not torch.allclose(logits, together, rtol=1e-4, atol=1e-5):
                off = (logits - together).abs().max().item()
                raise WrongError(
                    f"images of task {number} are answered otherwise {how} than all together (logits differ by up to "
                    f"{off:.2g}); answer each image from itself and what was learned, without statistics of its batch"
                )


BATCH_CHECKS: tuple[Check[MethodSubject], ...] = (
    Check("an answer does not depend on the other images", answers_alone),
)
