"""GDumb, written from CONTRIBUTING alone."""

from __future__ import annotations

from torch import Tensor

from baselines.shared.finetuning import FineTuning
from baselines.shared.memory import DEFAULT_MEMORY, Memory
from methods import BNPolicy, MemorySize, Network, Samples, Step, methods


@methods.register("newcomers-gdumb")
class GDumb(FineTuning):
    """Greedy sampler and dumb learner (Prabhu et al., 2020, ECCV).

    Images are stored so that all classes seen have equally many. For each task the network is trained from the backbone
    as given, and on nothing but the stored images: L = mean CE, each image by the head of its own task.

    Args:
        memory: capacity, in images (500) or bytes (10MB).
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
    """

    trains_old_heads = True
    starts_over = True

    def __init__(self, memory: MemorySize = DEFAULT_MEMORY, bn: BNPolicy = "shared"):
        super().__init__(bn)
        self.memory = memory
        self.past = Memory(self, memory, balanced=True)

    def training_data(self, data: Samples, network: Network) -> Samples:
        # Greedy: the new task's images enter before anything is trained.
        self.past.add(data, network.scale.device)
        rows = self.past.rows()
        # The place of each image's class among the logits of all heads.
        columns = network.heads.columns(rows["labels"].long(), rows["tasks"].long())
        return Samples(rows["images"], columns)

    def forward(self, step: Step) -> Tensor:
        return step.model.heads.among_all(step.model.features(step.images), step.labels)
