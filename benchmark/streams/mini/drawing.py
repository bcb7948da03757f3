"""Drawing with arithmetic that gives the same bytes on every machine.

IEEE 754 defines the rounding of + - * / and the square root, so elementwise results of these, and of floor, comparison,
minimum and maximum, are the same everywhere. Sines, powers, matrix products and sums over an axis are not, because each
library computes them in its own way. NumPy promises to keep a bit generator's raw stream, but not the numbers that
`Generator` makes from it. So there is no trigonometry here, no font library, and random numbers come from raw bits.

Shapes are signed distances in pixels, negative inside, for all images of a batch at once; n is the batch size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: In fact float32; NumPy's type stubs widen it when a plain number is involved.
Array = NDArray[np.floating[Any]]

#: Finished pictures, [n, SIZE, SIZE, 3].
Pictures = NDArray[np.uint8]

#: Height and width of a picture, in pixels.
SIZE = 32

#: Coordinates of pixel centres, in pixels from the upper left corner: [1, 1, SIZE] and [1, SIZE, 1].
X: Array = (np.arange(SIZE, dtype=np.float32) + 0.5)[None, None, :]
Y: Array = (np.arange(SIZE, dtype=np.float32) + 0.5)[None, :, None]


class Draws:
    """Random numbers whose values depend on the seed alone."""

    def __init__(self, seed: int):
        self._bits = np.random.PCG64(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Array:
        """Evenly from [low, high)."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        unit = (raw >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
        return (unit * np.float32(high - low) + np.float32(low)).reshape(shape)

    def whole(self, low: int, high: int, *shape: int) -> NDArray[np.int64]:
        """Whole numbers from low to high, both included."""
        return np.floor(self.uniform(0, high - low + 1, *shape)).astype(np.int64) + low

    def sometimes(self, odds: float, *shape: int) -> Array:
        """1 with probability `odds`, else 0."""
        return (self.uniform(0, 1, *shape) < odds).astype(np.float32)

    def orders(self, count: int, length: int) -> NDArray[np.int64]:
        """`count` permutations of 0 .. length-1, [count, length]."""
        return np.argsort(self.uniform(0, 1, count, length), axis=1, kind="stable")

    def turns(self, most: float, n: int) -> tuple[Array, Array]:
        """Cosine and sine of n angles up to `most` right angles either way (0 to 1), each [n, 1, 1]."""
        return unit(self.uniform(-most, most, n, 1, 1))

    def directions(self, n: int) -> tuple[Array, Array]:
        """Unit vectors all around, each coordinate [n, 1, 1]."""
        cos, sin = self.turns(1, n)
        side = 1 - 2 * self.sometimes(0.5, n, 1, 1)
        return cos * side, sin * side

    def noise(self, *shape: int) -> Array:
        """Evenly from [-0.5, 0.5), coarser but four times as fast as `uniform`."""
        count = int(np.prod(shape))
        raw = self._bits.random_raw((count + 3) // 4).astype("<u8").view("<u2")[:count]
        return (raw.astype(np.float32) * np.float32(2.0**-16) - np.float32(0.5)).reshape(shape)


def unit(t: Array) -> tuple[Array, Array]:
    """The unit vector at the angle 2 atan(t): for t from -1 to 1, about t right angles, without sine or cosine."""
    square = t * t
    return (1 - square) / (1 + square), 2 * t / (1 + square)


def length(x: Array, y: Array) -> Array:
    """Euclidean length; np.hypot is not rounded the same everywhere."""
    return np.sqrt(x * x + y * y)


def cover(distance: Array) -> Array:
    """Opacity of a shape with edges one pixel soft, from its signed distance."""
    return np.clip(0.5 - distance, 0, 1)


def segment(ax: Array, ay: Array, bx: Array, by: Array) -> tuple[Array, Array]:
    """Distance from each pixel to the line from a to b (each [n, 1, 1]), and how far along, 0 to 1: [n, S, S]."""
    dx, dy = bx - ax, by - ay
    px, py = X - ax, Y - ay
    along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy + 1e-6), 0, 1)
    return length(px - along * dx, py - along * dy), along


def local(centre_x: Array, centre_y: Array, turn: tuple[Array, Array]) -> tuple[Array, Array]:
    """Pixel coordinates seen from a centre and turned: two arrays [n, S, S]."""
    cos, sin = turn
    px, py = X - centre_x, Y - centre_y
    return px * cos + py * sin, py * cos - px * sin


def wave(phase: Array) -> Array:
    """Triangle wave of period 1 between 0 (at whole numbers) and 1."""
    return 1 - np.abs(2 * (phase - np.floor(phase)) - 1)


def smooth(t: Array) -> Array:
    """The cubic that eases from 0 to 1."""
    return t * t * (3 - 2 * t)


def profile(draws: Draws, n: int, cells: int) -> Array:
    """A smooth random curve over x, [n, 1, SIZE] in [0, 1), with `cells` bumps."""
    return _stretch(draws.uniform(0, 1, n, 1, cells + 1), 2)


def blotches(draws: Draws, n: int, cells: int) -> Array:
    """A smooth random field, [n, SIZE, SIZE] in [0, 1), with `cells` x `cells` bumps."""
    return _stretch(_stretch(draws.uniform(0, 1, n, cells + 1, cells + 1), 1), 2)


def _stretch(values: Array, axis: int) -> Array:
    cells = values.shape[axis] - 1
    at = (np.arange(SIZE, dtype=np.float32) + 0.5) * np.float32(cells / SIZE)
    left = np.floor(at).astype(np.int64)
    weight = smooth(at - left.astype(np.float32)).reshape((-1, 1) if axis == 1 else (1, -1))
    low, high = np.take(values, left, axis), np.take(values, left + 1, axis)
    return low + weight * (high - low)


class Canvas:
    """n pictures being painted.

    Attributes:
        ground: the colour each began with, [n, 3].
        pixels: [n, 3, SIZE, SIZE], 0 to 1.
    """

    def __init__(self, draws: Draws, n: int):
        self.n = n
        self.ground = draws.uniform(0, 1, n, 3)
        self.pixels = np.broadcast_to(self.ground[:, :, None, None], (n, 3, SIZE, SIZE)).copy()

    def paint(self, opacity: Array, colour: Array) -> None:
        """Paint colour [n, 3] over the pixels, with opacity [n, S, S]."""
        for channel in range(3):
            layer = self.pixels[:, channel]
            layer += opacity * (colour[:, channel, None, None] - layer)

    def ink(self, draws: Draws, contrast: float = 0.35) -> Array:
        """A random colour [n, 3] that differs from the ground by `contrast` in some channel."""
        colour = draws.uniform(0, 1, self.n, 3)
        near = np.abs(colour - self.ground).max(axis=1, keepdims=True) < contrast
        opposite = self.ground + np.where(self.ground < 0.5, np.float32(0.5), np.float32(-0.5))
        return np.where(near, opposite, colour)

    def mottle(self, draws: Draws, strength: float) -> None:
        """Blotches of another colour, coarse and fine."""
        for cells in (2, 6):
            colour = draws.uniform(0, 1, self.n, 3)
            amount = draws.uniform(0, strength, self.n, 1, 1)
            self.paint(blotches(draws, self.n, cells) * amount, colour)

    def scratch(self, draws: Draws, most: int) -> None:
        """Up to `most` short strokes in random colours and places."""
        present = draws.whole(0, most, self.n, 1, 1)
        for stroke in range(most):
            ax, ay = draws.uniform(-2, 34, self.n, 1, 1), draws.uniform(-2, 34, self.n, 1, 1)
            cos, sin = draws.directions(self.n)
            reach = draws.uniform(3, 14, self.n, 1, 1)
            distance, _ = segment(ax, ay, ax + cos * reach, ay + sin * reach)
            width = draws.uniform(0.3, 1.0, self.n, 1, 1)
            self.paint(cover(distance - width) * (present > stroke), draws.uniform(0, 1, self.n, 3))

    def blur(self, draws: Draws) -> None:
        """Soften each picture by its own amount."""
        amount = draws.uniform(0, 1, self.n, 1, 1, 1)
        for axis in (2, 3):
            padded = np.concatenate(
                [np.take(self.pixels, [0], axis), self.pixels, np.take(self.pixels, [-1], axis)], axis
            )
            before, after = np.take(padded, range(SIZE), axis), np.take(padded, range(2, SIZE + 2), axis)
            self.pixels += amount * ((before + after) * 0.5 - self.pixels) * 0.5

    def finish(self, draws: Draws, noise: float) -> Pictures:
        """Add pixel noise of up to `noise` and round to bytes."""
        amount = draws.uniform(0, 2 * noise, self.n, 1, 1, 1)
        grain = draws.noise(self.n, 3, SIZE, SIZE) * amount
        levels = np.floor(np.clip(self.pixels + grain, 0, 1) * 255 + 0.5).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(0, 2, 3, 1))
