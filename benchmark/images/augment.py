"""Random changes of whole batches of images, on the images' device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right, or not, with equal chances.

    Args:
        images: uint8 [B, C, S, S].
        generator: on the CPU.
    """
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(_on(images, mirrored).view(-1, 1, 1, 1), images.flip(3), images)


def crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by up to an eighth of its side in both directions; new pixels at the edges are black.

    Args:
        images: uint8 [B, C, S, S].
        generator: on the CPU.
    """
    count, size = len(images), images.shape[-1]
    margin = size // 8
    corners = _on(images, torch.randint(2 * margin + 1, (2, count, 1), generator=generator))
    rows, columns = corners + torch.arange(size, device=images.device)
    padded = pad(images, (margin, margin, margin, margin))
    each = torch.arange(count, device=images.device)
    # The indices come first in the result, the channels last.
    return padded[each[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


_CHANGES = {"flip": flip, "crop": crop}


def augmentation(names: Sequence[str], generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """The named changes (benchmark.config.AUGMENTATIONS) one after the other, with random numbers from `generator`."""

    def augment(images: Tensor) -> Tensor:
        for name in names:
            images = _CHANGES[name](images, generator)
        return images

    return augment


def _on(images: Tensor, draws: Tensor) -> Tensor:
    """Random draws moved to the device of the images, without waiting for it."""
    return draws.to(images.device, non_blocking=True)
