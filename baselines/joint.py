"""All tasks together: fine-tuning that sees everything."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from baselines.shared.finetuning import ALL_SCENARIOS, FineTuning, OnePassBN
from baselines.shared.memory import Memory
from methods import Network, Range, Recipe, Samples, Step, methods


@methods.register("joint")
class Joint(FineTuning):
    """At each task, train the backbone and all heads anew on the images of all tasks so far, mixed at random.

    L = CE(batch), each image through its own task's head. All images are kept, and an epoch goes over all of them.

    Args:
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
        logits: the logits in the loss with --scenario class: of all classes "seen" so far, or of "all" classes of the
            stream.
    """

    any_layout = True
    recipe = Recipe(optimizer="adam", lr=0.0054, clip=1.0)
    search = {"lr": Range(1e-4, 0.03)}
    scenarios = ALL_SCENARIOS
    trains_old_heads = True
    starts_over = True
    bound = True

    def __init__(self, bn: OnePassBN = "shared", logits: Literal["seen", "all"] = "seen"):
        super().__init__(bn, logits)
        self.past = Memory(self, size=None)

    def training_data(self, data: Samples, network: Network) -> Samples:
        """All images so far; labels are columns among the classes of all tasks side by side."""
        self.past.add(data, data.images.device)
        stored = self.past.rows()
        return Samples(stored["images"], network.heads.columns(stored["labels"].long(), stored["tasks"].long()))

    def forward(self, step: Step) -> Tensor:
        """Logits [B, classes of all tasks], -inf outside the classes of the image's own task."""
        return step.model.heads.among_all(step.model.features(step.images), step.labels)
