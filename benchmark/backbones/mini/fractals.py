"""Fractal pictures: labelled images made by formula, to pretrain a backbone without photographs.

A class is an iterated function system, a few random affine maps whose attractor is a fractal (FractalDB: Kataoka et
al., 2020, arXiv 2101.08515); its pictures vary in parameters, pose, colour, stroke and background. The maps are drawn
by singular values as in Anderson and Farrell, 2022 (arXiv 2110.03091), so that nearly every system gives a useful
picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

#: Affine maps per system; if a system has fewer, the rest have probability zero.
MAPS = 4

# Points per picture, after steps that bring the walkers to the attractor; pictures at once, so that they fit in a
# cache.
_WALKERS, _STEPS, _BURN_IN = 96, 24, 8
_CHUNK = 1024


@dataclass(frozen=True)
class Systems:
    """Iterated function systems.

    Attributes:
        linear: float [C, MAPS, 2, 2], contractions.
        shift: float [C, MAPS, 2].
        odds: float [C, MAPS], the probability of each map, from its area.
    """

    linear: Tensor
    shift: Tensor
    odds: Tensor

    def __len__(self) -> int:
        return len(self.odds)


def sample_systems(count: int, generator: Generator) -> Systems:
    """`count` random systems of two to MAPS maps."""
    used = torch.randint(2, MAPS + 1, (count, 1), generator=generator)
    active = torch.arange(MAPS) < used
    singular = _singular_values(active, generator)
    first, second = _rotations(count, MAPS, generator), _rotations(count, MAPS, generator)
    mirror = torch.ones(count, MAPS, 2)
    mirror[..., 1] = torch.where(torch.rand(count, MAPS, generator=generator) < 0.5, -1.0, 1.0)
    linear = first * (singular * mirror)[..., None, :] @ second
    shift = torch.rand(count, MAPS, 2, generator=generator) * 2 - 1
    area = singular.prod(-1).clamp(min=0.02) * active
    return Systems(linear, shift, area / area.sum(1, keepdim=True))


def render(systems: Systems, labels: Tensor, generator: Generator, size: int = 32) -> Tensor:
    """A new picture of each labelled system.

    Args:
        systems: C systems.
        labels: int64 [N], values 0 .. C-1.
        generator: decides all differences between pictures of one class.
        size: height and width in pixels.

    Returns:
        uint8 [N, 3, size, size].
    """
    return torch.cat([_render(systems, part, generator, size) for part in labels.split(_CHUNK)])


def _render(systems: Systems, labels: Tensor, generator: Generator, size: int) -> Tensor:
    points, last = _orbit(systems, labels, generator)
    tone, tint = _histogram(_pose(points, generator), last, generator, size)
    n = len(labels)
    background = _background(n, generator, size)
    ink = torch.rand(n, 3, 1, 1, generator=generator)
    # If ink is too close to the colour under it, it is moved to the other side of the grey axis.
    ground = background.mean((2, 3), keepdim=True)
    near = (ink - ground).abs().amax(1, keepdim=True) < 0.35
    ink = torch.where(near, (ground + 0.5) % 1.0, ink)
    strength = 0.5 * torch.rand(n, 1, 1, 1, generator=generator)
    colour = ink + strength * (tint - ink)
    opacity = 0.7 + 0.3 * torch.rand(n, 1, 1, 1, generator=generator)
    picture = background + opacity * tone * (colour - background)
    noise = torch.randn(picture.shape, generator=generator)
    picture = picture + noise * 0.06 * torch.rand(n, 1, 1, 1, generator=generator)
    return picture.clamp(0, 1).mul(255).round().to(torch.uint8)


def _singular_values(active: Tensor, generator: Generator) -> Tensor:
    """[C, MAPS, 2], larger first; their weighted sum over a system's k maps lies in [(5+k)/2, (6+k)/2]."""
    k = active.sum(1, keepdim=True)
    raw = torch.rand(*active.shape, 2, generator=generator) * active[..., None]
    larger, smaller = raw.amax(-1), raw.amin(-1)
    # Scaling towards the target sum and clipping below 1 a few times stays near Anderson and Farrell's distribution.
    target = (5 + k + torch.rand(k.shape, generator=generator)) / 2
    for _ in range(8):
        ratio = target / (larger + 2 * smaller).sum(1, keepdim=True)
        larger, smaller = (larger * ratio).clamp(max=0.95), (smaller * ratio).clamp(max=0.95)
    return torch.stack([larger, smaller], -1)


def _rotations(count: int, maps: int, generator: Generator) -> Tensor:
    return _rotation(torch.rand(count, maps, generator=generator) * 2 * math.pi)


def _rotation(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def _orbit(systems: Systems, labels: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Chaos game: points on each attractor, float [N, P, 2], and the map that made each, int64 [N, P]."""
    n = len(labels)
    jitter = 1 + 0.1 * (torch.rand(n, MAPS, 2, 2, generator=generator) * 2 - 1)
    linear = systems.linear[labels] * jitter
    shift = systems.shift[labels] + 0.1 * (torch.rand(n, MAPS, 2, generator=generator) * 2 - 1)
    maps = torch.cat([linear.flatten(2), shift], 2).flatten(0, 1)
    # With a table of odds, choosing a map is one look-up.
    table = torch.searchsorted(systems.odds.cumsum(1), ((torch.arange(256) + 0.5) / 256).repeat(len(systems), 1))
    table = table.clamp(max=MAPS - 1)[labels]
    first = torch.arange(n)[:, None] * MAPS
    x = torch.zeros(n, _WALKERS, 2)
    points, choices = [], []
    for step in range(_BURN_IN + _STEPS):
        choice = table.gather(1, torch.randint(256, (n, _WALKERS), generator=generator))
        m = maps[first + choice]
        x = torch.stack([(m[..., :2] * x).sum(-1), (m[..., 2:4] * x).sum(-1)], -1) + m[..., 4:]
        if step >= _BURN_IN:
            points.append(x)
            choices.append(choice)
    return torch.cat(points, 1), torch.cat(choices, 1)


def _pose(points: Tensor, generator: Generator) -> Tensor:
    """Centre and scale to the unit square, then turn, stretch and move a little."""
    n = len(points)
    points = points - points.mean(1, keepdim=True)
    reach = points.abs().flatten(1).quantile(0.98, dim=1)[:, None, None].clamp(min=1e-3)
    turn = _rotation((torch.rand(n, generator=generator) * 2 - 1) * 0.4)
    stretch = 0.5 + 0.5 * torch.rand(n, 1, 1, generator=generator)
    aspect = 1 + 0.2 * (torch.rand(n, 1, 2, generator=generator) * 2 - 1)
    move = (torch.rand(n, 1, 2, generator=generator) * 2 - 1) * (1.05 - stretch) * 0.5
    return (points / reach * stretch * aspect @ turn + move + 1) / 2


def _histogram(points: Tensor, last: Tensor, generator: Generator, size: int) -> tuple[Tensor, Tensor]:
    """Ink per pixel, float [N, 1, S, S] in [0, 1], and its tint by the last map, [N, 3, S, S]."""
    n = len(points)
    pixel = (points * size).floor().long()
    inside = ((pixel >= 0) & (pixel < size)).all(-1)
    flat = (torch.arange(n)[:, None] * size + pixel[..., 1]) * size + pixel[..., 0]
    flat, maps = flat[inside], (torch.arange(n)[:, None] * MAPS + last)[inside]
    palette = torch.rand(n * MAPS, 3, generator=generator)
    weight = torch.cat([torch.ones(len(flat), 1), palette[maps]], 1)
    total = torch.zeros(n * size * size, 4).index_add_(0, flat, weight)
    total = total.view(n, size, size, 4).permute(0, 3, 1, 2)
    # Half of the pictures get thicker strokes.
    thick = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
    total = torch.where(thick, F.avg_pool2d(total, 3, 1, 1) * 3, total)
    count = total[:, :1]
    tint = total[:, 1:] / count.clamp(min=1e-6)
    gain = 0.3 + 1.2 * torch.rand(n, 1, 1, 1, generator=generator)
    return (count * gain).clamp(max=1), tint


def _background(n: int, generator: Generator, size: int) -> Tensor:
    """Plain colour with smooth blotches, fine or coarse, float [N, 3, S, S]."""
    base = torch.rand(n, 3, 1, 1, generator=generator)
    blotches = torch.zeros(n, 3, size, size)
    for cells in (2, 4, 8, 16):
        coarse = torch.rand(n, 3, cells, cells, generator=generator) - 0.5
        weight = torch.rand(n, 1, 1, 1, generator=generator) ** 3
        blotches += weight * F.interpolate(coarse, size=(size, size), mode="bilinear")
    return (base + 0.8 * blotches).clamp(0, 1)
