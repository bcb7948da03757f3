"""The order in which the values of images, and of a convolution's weights, lie in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

#: "channels-last": all channels of a pixel lie together. "contiguous": all pixels of a channel lie together.
MemoryFormat = Literal["channels-last", "contiguous"]


def laid_out(images: Tensor, memory_format: MemoryFormat) -> Tensor:
    """Images [N, C, H, W] in that format, the same tensor if they are; features [N, D] as they are."""
    return images.contiguous(memory_format=_in_torch(memory_format)) if images.ndim == 4 else images


def lay_out(tensors: Iterable[Tensor], memory_format: MemoryFormat) -> None:
    """Bring tensors of four dimensions into that format; the tensor objects stay the same."""
    for tensor in tensors:
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=_in_torch(memory_format))


def rows_of(images: Tensor) -> Tensor:
    """A view [N, ...] of images or features in which each image's values lie in the order of their indices."""
    return images.permute(0, 2, 3, 1) if _is_channels_last(images) else images


def from_rows(rows: Tensor, images: Tensor) -> Tensor:
    """The inverse of `rows_of`, for some of the rows that it gave for `images`."""
    return rows.permute(0, 3, 1, 2) if _is_channels_last(images) else rows


def _is_channels_last(images: Tensor) -> bool:
    return images.ndim == 4 and images.is_contiguous(memory_format=torch.channels_last)


def _in_torch(memory_format: MemoryFormat) -> torch.memory_format:
    return torch.channels_last if memory_format == "channels-last" else torch.contiguous_format
