"""Minibatches, cut from chunks that are read ahead of the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from benchmark.images.layout import MemoryFormat, from_rows, laid_out, rows_of
from methods.data import Samples
from methods.rows import fits, sent

# Pixels of a batch in a pass that trains nothing, and the number of images if these are large.
_PIXELS_IN_ORDER, _LEAST_IN_ORDER = 1 << 20, 64

# Images that are read from a file before its RAM is freed: the system may map megabytes around each.
_UNRELEASED = 64

#: Bytes of images that are read at once. Two chunks are in RAM beside the data: one in use, and the next.
CHUNK_BYTES = 16 << 20


class Batches:
    """One epoch over the images, in a new random order each time; they stay uint8 until the device has them.

    Args:
        data: images [N, C, S, S], or features [N, D] instead, and labels [N]. If they are more than a chunk, a thread
            reads one chunk ahead, and images of a file are freed from RAM after use; on a GPU, data that fit easily are
            moved there once.
        batch_size: images per batch; a last batch of a single image joins the previous one, because batch normalisation
            cannot train on one image.
        generator: draws the order.
        device: where the batches go.
        augment: changes the images of a batch, on the device.
        dry: only the first batch of each epoch.
        memory_format: how the images of a batch lie in memory.

    Attributes:
        unchanged: the images of the present batch before `augment`; available from an epoch's first batch on.
        order: of the images in the present epoch; available from its first batch on.
        given: how many of its batches have been given.
    """

    unchanged: Tensor
    order: Tensor

    def __init__(
        self,
        data: Samples,
        batch_size: int,
        generator: torch.Generator,
        device: torch.device,
        augment: Callable[[Tensor], Tensor] = lambda images: images,
        dry: bool = False,
        memory_format: MemoryFormat = "channels-last",
    ):
        self.data = data
        if fits(data.images.nbytes, device):
            self.data = Samples(data.images.to(device), data.labels.to(device))
            data.release()
        self.generator = generator
        self.device = device
        self.augment = augment
        self.memory_format = memory_format
        count = len(data)
        sizes = [min(batch_size, count - start) for start in range(0, count, batch_size)]
        if len(sizes) > 1 and sizes[-1] == 1:
            sizes[-2:] = [batch_size + 1]
        self.sizes = sizes[:1] if dry else sizes
        batch_bytes = batch_size * max(1, data.images[:1].nbytes)
        self._batches_per_chunk = max(1, CHUNK_BYTES // batch_bytes)
        self.given = 0
        self._goes_on = False

    def go_on(self) -> None:
        """Let the next epoch be the rest of the present one: those of its batches that have not been given."""
        self._goes_on = True

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self._goes_on:
            self.order, self.given = torch.randperm(len(self.data), generator=self.generator), 0
        self._goes_on = False
        left, each = self.sizes[self.given :], self._batches_per_chunk
        chunks = [left[start : start + each] for start in range(0, len(left), each)]
        ends = accumulate(map(sum, chunks), initial=sum(self.sizes[: self.given]))
        chosen = [self.order[first:last] for first, last in pairwise(ends)]
        # Only CUDA copies safely from memory that is used again.
        pinned = self.device.type == "cuda"
        for (images, labels), sizes in zip(self._read_ahead(chosen), chunks, strict=True):
            # Images for a GPU change their format there, which takes no time of the CPU.
            images = laid_out(images.to(self.device, non_blocking=pinned), self.memory_format)
            labels = labels.to(self.device, non_blocking=pinned)
            for batch, batch_labels in zip(images.split(sizes), labels.split(sizes), strict=True):
                self.unchanged = batch
                self.given += 1
                yield laid_out(self.augment(batch), self.memory_format), batch_labels

    def _read_ahead(self, chosen: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """The chunks; each is read while the training uses the previous one."""
        if len(chosen) == 1 or self.data.images.device.type != "cpu":
            yield from map(self._read, chosen)
            return
        with ThreadPoolExecutor(1) as thread:
            ahead = thread.submit(self._read, chosen[0])
            for indices in chosen[1:]:
                ready, ahead = ahead, thread.submit(self._read, indices)
                yield ready.result()
            yield ahead.result()

    def _read(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        images, labels = self.data.images, self.data.labels
        if images.device.type != "cpu":
            chosen = sent(chosen, images.device)
            return from_rows(rows_of(images).index_select(0, chosen), images), labels.index_select(0, chosen)
        # NumPy, because torch would start its own threads, which would slow down those that train.
        rows = rows_of(images).numpy()
        taken = np.empty((len(chosen), *rows.shape[1:]), rows.dtype)
        for first in range(0, len(chosen), _UNRELEASED):
            part = slice(first, first + _UNRELEASED)
            # Nothing is clipped, but with mode "raise" NumPy would write into a copy.
            np.take(rows, chosen[part].numpy(), axis=0, out=taken[part], mode="clip")
            self.data.release()
        gathered, labels = from_rows(torch.from_numpy(taken), images), labels[chosen]
        if self.device.type == "cuda":
            return gathered.pin_memory(), labels.pin_memory()
        # Here, because this thread has time.
        return laid_out(gathered, self.memory_format), labels


def in_order(
    data: Samples, device: torch.device, memory_format: MemoryFormat = "channels-last"
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images and labels, in large batches, for passes that train nothing."""
    size = pass_size(data.images[0, 0].numel())
    for images, labels in zip(data.images.split(size), data.labels.split(size), strict=True):
        yield laid_out(images.to(device), memory_format), labels.to(device)
        data.release()


def image_batches(
    data: Samples, device: torch.device, memory_format: MemoryFormat = "channels-last"
) -> Iterator[Tensor]:
    """All images, as `in_order` gives them, without labels."""
    return (images for images, _ in in_order(data, device, memory_format))


def pass_size(pixels: int) -> int:
    """How many images of so many pixels each pass at once through a network that trains nothing."""
    return max(_LEAST_IN_ORDER, _PIXELS_IN_ORDER // max(1, pixels))
