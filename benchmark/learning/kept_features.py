"""The features of test images, kept where they are the same after every task: where a method trains heads alone.

Then each image passes once through the backbone in a cell, and not once for each task that is learned after its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmark.images.batches import image_batches
from benchmark.images.labelled import LabelledImages
from benchmark.images.layout import MemoryFormat


class KeptFeatures:
    """The features of all images that were asked for, on the CPU, in the batches in which they were computed.

    An answer from kept features equals one from a new pass bit for bit, because both are computed in the same batches.

    Args:
        device: where the features are computed and used.
        memory_format: of the images.
    """

    def __init__(self, device: torch.device, memory_format: MemoryFormat):
        self._device = device
        self._memory_format: MemoryFormat = memory_format
        # By the digests of the images.
        self._batches: dict[str, list[Tensor]] = {}

    def of(
        self, features: Callable[[Tensor], Tensor], images: LabelledImages, some: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Features [n, D] of images, batch after batch, on the device.

        Args:
            features: uint8 images [n, C, S, S] -> [n, D], always the same for the same images.
            images: the images; if they have not been asked for yet, they all pass now.
            some: the numbers of those that are wanted, int64; None for all.
        """
        if images.digest not in self._batches:
            passes = image_batches(images, self._device, self._memory_format)
            self._batches[images.digest] = [features(batch).cpu() for batch in passes]
        kept = self._batches[images.digest]
        if some is not None:
            kept = list(torch.cat(kept)[some].split(len(kept[0])))
        for batch in kept:
            yield batch.to(self._device)
