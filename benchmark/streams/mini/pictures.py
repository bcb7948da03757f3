"""Painters of the mini stream that compose a whole picture: landscapes, and cells under a microscope.

A painter takes (draws, label, n) and returns n pictures of one class, uint8 [n, 32, 32, 3].
"""

from __future__ import annotations

import numpy as np

from benchmark.streams.mini.drawing import (
    SIZE,
    Array,
    Canvas,
    Draws,
    Pictures,
    X,
    Y,
    blotches,
    cover,
    length,
    local,
    profile,
    wave,
)

SCENES = ("sea", "mountains", "forest", "city", "desert", "road")
CELLS = ("normal", "large-nucleus", "two-nuclei", "granular", "irregular-membrane")


def scenes(draws: Draws, label: int, n: int) -> Pictures:
    """A landscape in any colours: only the layout decides the class."""
    canvas = Canvas(draws, n)
    horizon = draws.uniform(10, 22, n, 1, 1)
    _sky(canvas, draws)
    _LANDSCAPES[SCENES[label]](canvas, draws, horizon)
    canvas.scratch(draws, 2)
    canvas.blur(draws)
    return canvas.finish(draws, 0.2)


def cells(draws: Draws, label: int, n: int) -> Pictures:
    """A stained cell in the middle, neighbours at the edges; the class is the state of the middle one."""
    canvas = Canvas(draws, n)
    # Pale plasma, darker body, darkest nucleus, in any stain.
    stain = draws.uniform(0.1, 0.9, n, 3)
    canvas.pixels[:] = (0.75 + 0.25 * stain)[:, :, None, None]
    canvas.mottle(draws, 0.25)
    body, nucleus = 0.45 + 0.4 * stain, 0.4 * stain + draws.uniform(0, 0.2, n, 3)
    for _ in range(3):
        away_x, away_y = draws.directions(n)
        reach = draws.uniform(15, 21, n, 1, 1)
        _cell(canvas, draws, "normal", 16 + away_x * reach, 16 + away_y * reach, body, nucleus)
    centre_x, centre_y = draws.uniform(13, 19, n, 1, 1), draws.uniform(13, 19, n, 1, 1)
    _cell(canvas, draws, CELLS[label], centre_x, centre_y, body, nucleus)
    canvas.mottle(draws, 0.3)
    canvas.blur(draws)
    return canvas.finish(draws, 0.06)


def _sky(canvas: Canvas, draws: Draws) -> None:
    """A gradient, perhaps a sun, perhaps clouds."""
    n = canvas.n
    canvas.paint(Y / SIZE * draws.uniform(0, 0.8, n, 1, 1), draws.uniform(0, 1, n, 3))
    sun = length(X - draws.uniform(2, 30, n, 1, 1), Y - draws.uniform(1, 10, n, 1, 1)) - draws.uniform(1.5, 4, n, 1, 1)
    canvas.paint(cover(sun) * draws.sometimes(0.5, n, 1, 1), draws.uniform(0, 1, n, 3))
    for _ in range(2):
        x, y = draws.uniform(0, 32, n, 1, 1), draws.uniform(1, 9, n, 1, 1)
        cloud = length((X - x) * 0.35, Y - y) - draws.uniform(0.8, 2.2, n, 1, 1)
        canvas.paint(cover(cloud) * draws.sometimes(0.6, n, 1, 1), draws.uniform(0, 1, n, 3))


def _ground(canvas: Canvas, draws: Draws, horizon: Array, rough: float) -> Array:
    """Everything below the horizon; returns its colour [n, 3]."""
    colour = canvas.ink(draws, 0.25)
    canvas.paint(cover(horizon - Y), colour)
    grain = blotches(draws, canvas.n, 8) * cover(horizon - Y)
    canvas.paint(grain * draws.uniform(0, rough, canvas.n, 1, 1), draws.uniform(0, 1, canvas.n, 3))
    return colour


def _sea(canvas: Canvas, draws: Draws, horizon: Array) -> None:
    n = canvas.n
    colour = _ground(canvas, draws, horizon, 0.3)
    # Crests lie closer together towards the horizon, and each is broken along its length.
    depth = (Y - horizon) / (SIZE - horizon + 1)
    rows = np.sqrt(np.maximum(depth, 0)) * draws.uniform(3, 6, n, 1, 1)
    ripple = wave(rows + 0.4 * blotches(draws, n, 7))
    crest = np.clip(3 * ripple - 2, 0, 1) * (blotches(draws, n, 10) > 0.4) * (horizon < Y)
    canvas.paint(crest * draws.uniform(0.4, 0.9, n, 1, 1), _shade(colour, draws))


def _mountains(canvas: Canvas, draws: Draws, horizon: Array) -> None:
    n = canvas.n
    for layer in range(2):
        top = horizon + 4 * layer
        for _ in range(2):
            peak_x, height = draws.uniform(2, 30, n, 1, 1), draws.uniform(4, 11, n, 1, 1)
            steep = draws.uniform(0.6, 1.3, n, 1, 1)
            top = np.minimum(top, horizon + 3 * layer - height + np.abs(X - peak_x) * steep)
        top = top + (profile(draws, n, 12) - 0.5) * 2
        canvas.paint(cover(top - Y), canvas.ink(draws, 0.25))
    _ground(canvas, draws, np.maximum(horizon + 3, 18), 0.5)


def _forest(canvas: Canvas, draws: Draws, horizon: Array) -> None:
    n = canvas.n
    _ground(canvas, draws, horizon + 3, 0.6)
    crown, trunk = canvas.ink(draws, 0.25), draws.uniform(0, 1, n, 3)
    conifer = draws.sometimes(0.5, n, 1, 1) > 0
    slots = draws.orders(n, 7)[:, :, None, None]
    for tree in range(7):
        x = slots[:, tree].astype(np.float32) * 4.5 + 2.5 + draws.uniform(-1.5, 1.5, n, 1, 1)
        foot = horizon + draws.uniform(3, 8, n, 1, 1)
        tall, wide = draws.uniform(7, 13, n, 1, 1), draws.uniform(2.0, 3.2, n, 1, 1)
        off = np.abs(X - x)
        canvas.paint(cover(np.maximum(off - 0.5, np.abs(Y - foot + 2) - 2)), trunk)
        up = (foot - 2 - Y) / tall
        cone = np.maximum(off - wide * (1 - up), np.abs(up - 0.5) * tall - tall * 0.5)
        ball = length(off, (Y - foot + 2 + wide * 1.4) * 0.7) - wide
        canvas.paint(cover(np.where(conifer, cone, ball)), crown + draws.uniform(-0.15, 0.15, n, 3))


def _city(canvas: Canvas, draws: Draws, horizon: Array) -> None:
    n = canvas.n
    _ground(canvas, draws, horizon + 4, 0.4)
    wall, pane = canvas.ink(draws, 0.25), draws.uniform(0, 1, n, 3)
    for building in range(6):
        x = draws.uniform(-1, 5, n, 1, 1) + 5.5 * building
        wide, top = draws.uniform(2, 4, n, 1, 1), horizon - draws.uniform(1, 11, n, 1, 1)
        foot = horizon + draws.uniform(3, 7, n, 1, 1)
        block = cover(np.maximum(np.abs(X - x) - wide, np.maximum(top - Y, Y - foot)))
        canvas.paint(block, wall + draws.uniform(-0.2, 0.2, n, 3))
        panes = (wave((X - x) / 3 + 0.5) > 0.5) * (wave((Y - top) / 3.5) > 0.5) * block
        canvas.paint(panes * draws.uniform(0.0, 0.7, n, 1, 1), pane)


def _desert(canvas: Canvas, draws: Draws, horizon: Array) -> None:
    n = canvas.n
    colour = canvas.ink(draws, 0.25)
    for layer in range(3):
        top = horizon - 3 + 5 * layer + (profile(draws, n, 2) - 0.5) * draws.uniform(3, 11, n, 1, 1)
        colour = _shade(colour, draws)
        # Each dune fades from its crest down.
        depth = np.clip(1 - (Y - top) * 0.06, 0.3, 1)
        canvas.paint(cover(top - Y) * depth, colour)


def _road(canvas: Canvas, draws: Draws, horizon: Array) -> None:
    n = canvas.n
    _ground(canvas, draws, horizon, 0.6)
    depth = np.clip((Y - horizon) / (SIZE - horizon), 0, 1)
    vanish, bend = draws.uniform(8, 24, n, 1, 1), draws.uniform(-6, 6, n, 1, 1)
    middle = vanish + (draws.uniform(10, 22, n, 1, 1) - vanish) * depth + bend * depth * (1 - depth)
    half = 0.7 + draws.uniform(5, 11, n, 1, 1) * depth
    below = cover(horizon - Y)
    canvas.paint(cover(np.abs(X - middle) - half) * below, draws.uniform(0, 1, n, 3))
    dashes = wave(np.sqrt(depth) * 4 + draws.uniform(0, 1, n, 1, 1)) > 0.4
    line = cover(np.abs(X - middle) - 0.12 * half) * below * dashes
    canvas.paint(line, draws.uniform(0, 1, n, 3))


def _shade(colour: Array, draws: Draws) -> Array:
    """The colour made lighter or darker, clearly."""
    step = draws.uniform(0.15, 0.4, len(colour), 1)
    return np.where(draws.sometimes(0.5, len(colour), 1) > 0, colour + step, colour - step)


_LANDSCAPES = {
    "sea": _sea,
    "mountains": _mountains,
    "forest": _forest,
    "city": _city,
    "desert": _desert,
    "road": _road,
}


def _cell(
    canvas: Canvas, draws: Draws, state: str, centre_x: Array, centre_y: Array, body: Array, nucleus: Array
) -> None:
    n = canvas.n
    radius = draws.uniform(9, 11.5, n, 1, 1)
    u, v = local(centre_x, centre_y, draws.directions(n))
    v = v * draws.uniform(1.0, 1.2, n, 1, 1)
    wobble = 9.0 if state == "irregular-membrane" else 2.0
    membrane = length(u, v) - radius + (blotches(draws, n, 7) - 0.5) * wobble
    inside = cover(membrane)
    canvas.paint(inside, body + draws.uniform(-0.08, 0.08, n, 3))
    canvas.paint(cover(np.abs(membrane) - 0.4) * draws.uniform(0.2, 0.8, n, 1, 1), nucleus)

    specks = blotches(draws, n, 15) - (0.62 if state == "granular" else 0.85)
    canvas.paint(np.clip(specks * 6, 0, 1) * inside, nucleus)

    share = draws.uniform(0.5, 0.68, n, 1, 1) if state == "large-nucleus" else draws.uniform(0.28, 0.42, n, 1, 1)
    size = radius * share
    off = (radius - size) * draws.uniform(0, 0.4, n, 1, 1)
    if state == "two-nuclei":
        size = size * 0.85
        apart = size + draws.uniform(0.2, 1.5, n, 1, 1)
        blob = length(np.abs(u) - apart, v - off) - size
    else:
        blob = length(u - off, v * draws.uniform(0.85, 1.25, n, 1, 1)) - size
    canvas.paint(cover(blob) * draws.uniform(0.6, 0.95, n, 1, 1), nucleus)
