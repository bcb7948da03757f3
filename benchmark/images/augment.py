"""Random changes of whole batches of images, on the images' device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

# As in torchvision's RandomResizedCrop: the share of the image's area, width by height, and how often a box is drawn.
_AREAS = (0.08, 1.0)
_RATIOS = (3 / 4, 4 / 3)
_ATTEMPTS = 10


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


def resized_crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Take a random part of each image, and resize it to the image's size, with linear interpolation.

    The part has 8 % of the area or more, and is from 3/4 to 4/3 as wide as high: torchvision's RandomResizedCrop. Since
    no part is larger than its image, nothing has to be smoothed first (antialiasing).

    Args:
        images: uint8 [B, C, S, S].
        generator: on the CPU.
    """
    boxes = _on(images, draw_boxes(len(images), images.shape[-1], generator))
    return resize_boxes(images, boxes)


def draw_boxes(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw boxes as torchvision's RandomResizedCrop does.

    A box that does not fit into the image is drawn again, ten times in all; after that the box is the whole image.

    Returns:
        int64 [4, count]: the first row, the first column, the height and the width of each box.
    """
    area, ratio = torch.rand(2, _ATTEMPTS, count, generator=generator)
    area = size**2 * (_AREAS[0] + (_AREAS[1] - _AREAS[0]) * area)
    low, high = map(math.log, _RATIOS)
    ratio = torch.exp(low + (high - low) * ratio)
    sides = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()]).round().long()
    fits = ((sides > 0) & (sides <= size)).all(0)
    first = fits.int().argmax(0)
    sides = torch.where(fits.any(0), sides.gather(1, first.expand(2, 1, count)).squeeze(1), size)
    corners = (torch.rand(2, count, generator=generator) * (size - sides + 1)).long()
    return torch.cat([corners.minimum(size - sides), sides])


def resize_boxes(images: Tensor, boxes: Tensor) -> Tensor:
    """Cut a box out of each image, and resize it to the image's size.

    Args:
        images: uint8 [B, C, S, S].
        boxes: see `draw_boxes`.
    """
    size = images.shape[-1]
    corners, sides = boxes.float().view(2, 2, -1, 1)
    # Centres of the new pixels, in pixels of the box. At its edges there is nothing beyond to take in.
    centres = (torch.arange(size, device=images.device) + 0.5) * (sides / size) - 0.5
    places = corners + centres.clamp(min=0).minimum(sides - 1)
    rows, columns = places * (2 / max(1, size - 1)) - 1
    grid = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), dim=3)
    resized = grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=True)
    return torch.empty_like(images).copy_(resized.round_())


_CHANGES = {"flip": flip, "crop": crop, "resized-crop": resized_crop}


def augmentation(names: Sequence[str], generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """The named changes (benchmark.config.AUGMENTATIONS) one after the other, with random numbers from `generator`."""

    def augment(images: Tensor) -> Tensor:
        for name in names:
            images = _CHANGES[name](images, generator)
        return images

    return augment


def _on(images: Tensor, draws: Tensor) -> Tensor:
    """Random draws moved to the device of the images, without waiting for it."""
    return draws.to(images.device, non_blocking=images.device.type == "cuda")
