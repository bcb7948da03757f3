"""Painters of the mini stream that show what a thing is, or how many there are.

A painter takes (draws, label, n) and returns n pictures of one class, uint8 [n, 32, 32, 3].
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmark.streams.mini.drawing import SIZE, Array, Canvas, Draws, Pictures, X, Y, cover, length, local
from benchmark.streams.mini.glyphs import Glyphs

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "crescent", "heart")
COUNTS = ("one", "two", "three", "four", "five", "six")


def digits(draws: Draws, label: int, n: int) -> Pictures:
    """Scikit-learn's handwritten digits, about three times enlarged, in random ink on a busy ground."""
    images, labels = _handwriting()
    of_class = np.flatnonzero(labels == label)
    # An empty margin, so that points outside a digit have no ink.
    chosen = np.pad(images[of_class[draws.orders(1, len(of_class))[0, :n]]], ((0, 0), (1, 1), (1, 1)))
    scale = draws.uniform(2.3, 3.3, n, 1, 1)
    centre_x, centre_y = draws.uniform(13, 19, n, 1, 1), draws.uniform(13, 19, n, 1, 1)
    lean = draws.uniform(-0.25, 0.25, n, 1, 1)
    y = (Y - centre_y) / scale
    x = (X - centre_x) / scale + lean * y
    ink = _look_up(chosen, x + 4.5, y + 4.5)

    canvas = Canvas(draws, n)
    canvas.mottle(draws, 0.7)
    canvas.scratch(draws, 3)
    canvas.paint(np.clip(ink * draws.uniform(1.0, 1.8, n, 1, 1), 0, 1), canvas.ink(draws))
    canvas.scratch(draws, 1)
    return canvas.finish(draws, 0.15)


def shapes(draws: Draws, label: int, n: int) -> Pictures:
    """One filled shape, any colour, size and turn, among strokes and partly hidden by them."""
    centre_x, centre_y = draws.uniform(11, 21, n, 1, 1), draws.uniform(11, 21, n, 1, 1)
    size = draws.uniform(5.5, 10, n, 1, 1)
    u, v = local(centre_x, centre_y, draws.directions(n))
    u = u * draws.uniform(0.85, 1.15, n, 1, 1)
    distance = _OUTLINES[SHAPES[label]](u / size, v / size) * size

    canvas = Canvas(draws, n)
    canvas.mottle(draws, 0.8)
    canvas.scratch(draws, 4)
    canvas.paint(cover(distance), canvas.ink(draws))
    canvas.scratch(draws, 4)
    return canvas.finish(draws, 0.2)


def letters(draws: Draws, label: int, n: int) -> Pictures:
    """A capital letter in varied thickness, slant, size, turn and colour."""
    glyphs = Glyphs(draws, np.full(n, label), height=(13, 23), slant=(-0.35, 0.35), turn=0.2)
    distance = glyphs.distance() - draws.uniform(0.4, 2.0, n, 1, 1)

    canvas = Canvas(draws, n)
    canvas.mottle(draws, 0.8)
    canvas.scratch(draws, 3)
    canvas.paint(cover(distance), canvas.ink(draws))
    canvas.scratch(draws, 3)
    return canvas.finish(draws, 0.25)


def counting(draws: Draws, label: int, n: int) -> Pictures:
    """One to six blobs of varied size and colour that may touch, among thin strokes."""
    canvas = Canvas(draws, n)
    canvas.mottle(draws, 0.3)
    canvas.scratch(draws, 2)
    # Each blob has its own place in a 3 x 3 grid, so none hides another; few blobs are usually larger than many.
    cells = draws.orders(n, 9)[:, :, None, None]
    size = draws.uniform(2.8, 4.2 - 0.1 * label, n, 1, 1)
    for blob in range(label + 1):
        row, column = (part.astype(np.float32) for part in np.divmod(cells[:, blob], 3))
        centre_x = 6 + 10 * column + draws.uniform(-2, 2, n, 1, 1)
        centre_y = 6 + 10 * row + draws.uniform(-2, 2, n, 1, 1)
        u, v = local(centre_x, centre_y, draws.directions(n))
        own = size * draws.uniform(0.85, 1.2, n, 1, 1)
        distance = length(u, v * draws.uniform(1.0, 1.4, n, 1, 1)) - own
        canvas.paint(cover(distance), canvas.ink(draws, 0.45))
    return canvas.finish(draws, 0.08)


@cache
def _handwriting() -> tuple[Array, NDArray[np.int64]]:
    """Images [1797, 8, 8] in [0, 1] and labels [1797]."""
    # Imported here, because it takes a second that only this stream needs.
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images.astype(np.float32) / 16, data.target.astype(np.int64)


def _look_up(images: Array, x: Array, y: Array) -> Array:
    """images [n, h, w] at fractional columns x and rows y ([n, S, S], broadcast), bilinear, clipped to the border."""
    n, height, width = images.shape
    x = np.broadcast_to(np.clip(x, 0, width - 1.001), (n, SIZE, SIZE))
    y = np.broadcast_to(np.clip(y, 0, height - 1.001), (n, SIZE, SIZE))
    left, top = np.floor(x), np.floor(y)
    right_part, lower_part = x - left, y - top
    corner = (np.arange(n)[:, None, None] * height + top.astype(np.int64)) * width + left.astype(np.int64)
    flat = images.reshape(-1)
    upper = flat[corner] + right_part * (flat[corner + 1] - flat[corner])
    lower = flat[corner + width] + right_part * (flat[corner + width + 1] - flat[corner + width])
    return upper + lower_part * (lower - upper)


def _polygon(u: Array, v: Array, normals: tuple[tuple[float, float], ...], reach: float) -> list[Array]:
    """Distances to half-planes at `reach` from the centre."""
    return [u * x + v * y - reach for x, y in normals]


def _star(u: Array, v: Array) -> Array:
    # A pentagram is where at most one of its five half-planes is left: the second largest distance.
    first = second = np.full_like(u, -10)
    for side in _polygon(u, v, _FIVE, 0.36):
        second = np.maximum(second, np.minimum(first, side))
        first = np.maximum(first, side)
    return second


def _heart(u: Array, v: Array) -> Array:
    # A square on its corner and a circle on each of its upper sides.
    square = (np.abs(u) + np.abs(v - 0.1) - 0.86) * 0.7071
    circles = length(np.abs(u) - 0.43, v + 0.33) - 0.6
    return np.minimum(square, circles)


# The unit vectors of three and five equal angles, as numbers because cosines are not the same everywhere.
_THREE = ((0.0, 1.0), (0.8660254, -0.5), (-0.8660254, -0.5))
_FIVE = (
    (0.0, 1.0),
    (0.9510565, 0.309017),
    (0.5877853, -0.809017),
    (-0.5877853, -0.809017),
    (-0.9510565, 0.309017),
)

_OUTLINES = {
    "circle": lambda u, v: length(u, v) - 0.88,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) - 0.8,
    "triangle": lambda u, v: np.maximum.reduce(_polygon(u, v, _THREE, 0.56)),
    "star": _star,
    "cross": lambda u, v: np.maximum(np.maximum(np.abs(u), np.abs(v)) - 1, np.minimum(np.abs(u), np.abs(v)) - 0.33),
    "ring": lambda u, v: np.abs(length(u, v) - 0.75) - 0.25,
    "crescent": lambda u, v: np.maximum(length(u, v) - 1, 0.8 - length(u - 0.5, v)),
    "heart": _heart,
}
