"""Painters of the mini stream that show how something is drawn, not what it is.

A painter takes (draws, label, n) and returns n pictures of one class, uint8 [n, 32, 32, 3].
"""

from __future__ import annotations

import numpy as np

from benchmark.streams.mini.drawing import Array, Canvas, Draws, Pictures, blotches, cover, length, local, wave
from benchmark.streams.mini.glyphs import LETTERS, Glyphs

FONTS = ("thin", "bold", "slanted", "outlined", "dashed", "shadowed")
TEXTURES = ("stripes", "checks", "dots", "bricks", "waves", "rings", "blobs", "weave")


def font_style(draws: Draws, label: int, n: int) -> Pictures:
    """A random letter in one style of lettering."""
    style = FONTS[label]
    slant = (0.35, 0.6) if style == "slanted" else (-0.12, 0.12)
    glyphs = Glyphs(draws, draws.whole(0, len(LETTERS) - 1, n), height=(15, 23), slant=slant, turn=0.1)
    width = glyphs.height * draws.uniform(0.045, 0.07, n, 1, 1)

    canvas = Canvas(draws, n)
    canvas.mottle(draws, 0.6)
    canvas.scratch(draws, 3)
    ink = canvas.ink(draws)
    if style == "thin":
        ink_distance = glyphs.distance() - width * 0.35
    elif style == "bold":
        ink_distance = glyphs.distance() - width * 2.0
    elif style == "outlined":
        ink_distance = np.abs(glyphs.distance() - width * 1.9) - 0.45
    elif style == "dashed":
        ink_distance = glyphs.dashed(draws.uniform(4, 6, n, 1, 1)) - width
    else:
        ink_distance = glyphs.distance() - width
    if style == "shadowed":
        canvas.paint(cover(glyphs.distance(shift=2.5) - width), canvas.ink(draws))
    canvas.paint(cover(ink_distance), ink)
    canvas.scratch(draws, 1)
    return canvas.finish(draws, 0.15)


def textures(draws: Draws, label: int, n: int) -> Pictures:
    """A pattern of two colours at any scale and turn, unevenly lit."""
    period = draws.uniform(5, 10, n, 1, 1)
    u, v = local(draws.uniform(0, 32, n, 1, 1), draws.uniform(0, 32, n, 1, 1), draws.directions(n))
    share = draws.uniform(0.35, 0.6, n, 1, 1)
    distance = _PATTERNS[TEXTURES[label]](draws, u / period, v / period, share) * period

    canvas = Canvas(draws, n)
    canvas.mottle(draws, 0.4)
    opacity = draws.uniform(0.5, 1, n, 1, 1)
    canvas.paint(cover(distance) * opacity, canvas.ink(draws))
    canvas.mottle(draws, 0.3)
    canvas.scratch(draws, 2)
    canvas.blur(draws)
    return canvas.finish(draws, 0.18)


# Each pattern takes (draws, u, v, share): coordinates in periods [n, S, S] and about how much of the ground it covers,
# and returns signed distances in periods.


def _stripes(draws: Draws, u: Array, v: Array, share: Array) -> Array:
    return (wave(u) - share) * 0.5


def _checks(draws: Draws, u: Array, v: Array, share: Array) -> Array:
    a, b = wave(u) - 0.5, wave(v) - 0.5
    return np.maximum(np.minimum(a, b), -np.maximum(a, b)) * 0.5


def _dots(draws: Draws, u: Array, v: Array, share: Array) -> Array:
    return length(1 - wave(u), 1 - wave(v)) * 0.5 - share * 0.7


def _bricks(draws: Draws, u: Array, v: Array, share: Array) -> Array:
    row = np.floor(v * 1.5)
    joint = np.minimum(wave(v * 1.5) * 0.33, wave(u * 0.75 + row * 0.5) * 0.67)
    return share * 0.25 - joint


def _waves(draws: Draws, u: Array, v: Array, share: Array) -> Array:
    swing = wave(v * 0.6)
    return (wave(u + 0.8 * swing * swing * (3 - 2 * swing)) - share) * 0.45


def _rings(draws: Draws, u: Array, v: Array, share: Array) -> Array:
    return (wave(length(u, v)) - share) * 0.5


def _blobs(draws: Draws, u: Array, v: Array, share: Array) -> Array:
    field = blotches(draws, len(u), 6) + 0.5 * blotches(draws, len(u), 11)
    return (field - share * 1.5) * 0.8


def _weave(draws: Draws, u: Array, v: Array, share: Array) -> Array:
    over = np.floor(u) + np.floor(v)
    upright = wave(over * 0.5) > 0.5
    across = np.abs(np.where(upright, wave(u), wave(v)) - 1)
    return across * 0.5 - share * 0.6


_PATTERNS = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "bricks": _bricks,
    "waves": _waves,
    "rings": _rings,
    "blobs": _blobs,
    "weave": _weave,
}
