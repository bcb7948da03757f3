"""All tasks together: fine-tuning that sees everything."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from baselines.shared.all_heads import AllHeads
from baselines.shared.reservoir import append, samples_of
from methods import methods
from methods.method import REPLAY

if TYPE_CHECKING:
    from benchmark.images.labelled import LabelledImages
    from methods.network import Network


@methods.register("joint")
class Joint(AllHeads):
    """At each task, the backbone and all heads are trained anew on the images of all tasks so far, mixed at random.

    L = CE(batch), each image through its own task's head. All images are kept, and an epoch goes over all of them.

    Args:
        bn: batch normalisation "shared" by all tasks, or "frozen" as the backbone's.
    """

    starts_over = True
    bound = True

    def training_data(self, data: LabelledImages, network: Network) -> LabelledImages:
        """All images so far; their labels are columns among the classes of all tasks side by side."""
        append(self.kept, samples_of(self.task, data.images, data.labels))
        images, labels, tasks = (self.kept[REPLAY + name] for name in ("images", "labels", "tasks"))
        heads = network.heads
        widths = torch.tensor([rows.stop - rows.start for rows in heads.rows.values()])
        #: The head of each column.
        self.owner = torch.arange(len(widths)).repeat_interleave(widths).to(heads.bias.device)
        first = (widths.cumsum(0) - widths).to(labels.device)
        return replace(data, images=images, labels=first[tasks.long() - 1] + labels)

    def forward(self, strategy: Any) -> Tensor:
        """Logits [B, classes of all tasks], -inf outside the classes of the image's own task."""
        network = strategy.model
        logits = network.heads.flat(network.features(strategy.mb_x))
        mine = self.owner[strategy.mb_y][:, None] == self.owner
        return logits.masked_fill(~mine, float("-inf"))
