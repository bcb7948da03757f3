"""A vector font of ten capital letters, as distances to their strokes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmark.streams.mini.drawing import SIZE, Array, Draws, length, segment, wave

# Polylines on a grid 4 wide and 6 high, y down: "x y" points, strokes apart.
_FONT = {
    "A": ("06 20 46", "14 34"),
    "E": ("40 00 06 46", "03 33"),
    "F": ("40 00 06", "03 33"),
    "H": ("00 06", "40 46", "03 43"),
    "K": ("00 06", "40 03 46"),
    "N": ("06 00 46 40",),
    "R": ("06 00 30 41 42 33 03", "23 46"),
    "S": ("41 30 10 01 02 44 45 36 16 05",),
    "X": ("00 46", "40 06"),
    "Z": ("00 40 06 46",),
}

LETTERS = tuple(_FONT)


def _segments() -> Array:
    """[letters, most segments, 4]: x, y, x, y around the centre, height 1; a short letter repeats its last."""
    rows = []
    for strokes in _FONT.values():
        points = [[(int(p[0]), int(p[1])) for p in stroke.split()] for stroke in strokes]
        rows.append([(*a, *b) for line in points for a, b in pairwise(line)])
    most = max(map(len, rows))
    padded = [row + row[-1:] * (most - len(row)) for row in rows]
    return (np.array(padded, dtype=np.float32) - np.array([2, 3, 2, 3], dtype=np.float32)) / np.float32(6)


_SEGMENTS = _segments()


class Glyphs:
    """n letters, placed and posed at random.

    Args:
        draws: the source of randomness.
        letters: which of LETTERS, [n].
        height: least and greatest height, in pixels.
        slant: least and greatest lean to the right, as width over height.
        turn: most rotation either way, in right angles.
    """

    def __init__(
        self,
        draws: Draws,
        letters: NDArray[np.int64],
        height: tuple[float, float],
        slant: tuple[float, float],
        turn: float,
    ):
        n = len(letters)
        self.height = draws.uniform(*height, n, 1, 1)
        lean = draws.uniform(*slant, n, 1, 1)
        cos, sin = draws.turns(turn, n)
        room = (28 - self.height) * np.float32(0.5)
        centre_x = 16 + draws.uniform(-1, 1, n, 1, 1) * (room + 1)
        centre_y = 16 + draws.uniform(-1, 1, n, 1, 1) * room
        self._strokes = []
        for column in _SEGMENTS[letters].transpose(1, 2, 0)[..., None, None]:
            ends = []
            for x, y in (column[:2], column[2:]):
                x, y = (x - lean * y) * self.height, y * self.height
                ends += [centre_x + x * cos - y * sin, centre_y + x * sin + y * cos]
            self._strokes.append(ends)

    def distance(self, shift: float = 0.0) -> Array:
        """Pixels from the centre line of the strokes, [n, S, S]; all moved right and down by `shift`."""
        moved = ([end + np.float32(shift) for end in ends] for ends in self._strokes)
        return np.minimum.reduce([segment(*ends)[0] for ends in moved])

    def dashed(self, period: Array) -> Array:
        """The same for dashed strokes: every second half of `period`, in pixels [n, 1, 1], is missing."""
        kept = []
        for ax, ay, bx, by in self._strokes:
            distance, along = segment(ax, ay, bx, by)
            phase = along * length(bx - ax, by - ay) / period
            kept.append(np.where(wave(phase + 0.25) < 0.5, np.float32(SIZE), distance))
        return np.minimum.reduce(kept)
