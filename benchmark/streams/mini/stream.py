"""The embedded stream: eight tasks of 32x32 pictures made by arithmetic in a second or two, the same bytes everywhere.

| task | kind | classes | what decides |
|---|---|---|---|
| digits | objects | 10 | which digit; real handwriting, from scikit-learn |
| shapes | objects | 8 | which outline, under strokes that hide part of it |
| letters | objects | 10 | which letter |
| font-style | style | 6 | how a letter is drawn, not which |
| textures | style | 8 | which pattern |
| counting | counting | 6 | how many blobs |
| scenes | scene | 6 | how a landscape is laid out |
| cells | medical | 5 | the state of the cell in the middle |

Colours, places, clutter and noise are drawn in the same way for every class of a task, so they do not show the class.
Each task has 600 training and 240 test pictures, drawn separately, the same number of each class.
`benchmark.streams.mini.drawing` says why the bytes are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmark.images.source import ArrayImages
from benchmark.streams import streams
from benchmark.streams.mini import objects as mini_objects
from benchmark.streams.mini import pictures as mini_pictures
from benchmark.streams.mini import styles as mini_styles
from benchmark.streams.mini.drawing import SIZE, Draws, Pictures
from benchmark.streams.mini.glyphs import LETTERS
from benchmark.streams.source import RawTask, StreamSource

TRAIN, TEST = 600, 240

#: (draws, label, n) -> n pictures of that class.
Painter = Callable[[Draws, int, int], Pictures]


@dataclass(frozen=True)
class MiniTask:
    """A task before it is drawn: its name, its kind, its classes, and their painter."""

    name: str
    kind: str
    classes: tuple[str, ...]
    painter: Painter


TASKS = (
    MiniTask("digits", "objects", mini_objects.DIGITS, mini_objects.digits),
    MiniTask("shapes", "objects", mini_objects.SHAPES, mini_objects.shapes),
    MiniTask("letters", "objects", LETTERS, mini_objects.letters),
    MiniTask("font-style", "style", mini_styles.FONTS, mini_styles.font_style),
    MiniTask("textures", "style", mini_styles.TEXTURES, mini_styles.textures),
    MiniTask("counting", "counting", mini_objects.COUNTS, mini_objects.counting),
    MiniTask("scenes", "scene", mini_pictures.SCENES, mini_pictures.scenes),
    MiniTask("cells", "medical", mini_pictures.CELLS, mini_pictures.cells),
)


@streams.register("mini")
class MiniStream(StreamSource):
    """eight small embedded tasks at 32x32; needs no file and no network"""

    default_image_size = SIZE

    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        return [_paint(task, seed) for seed, task in enumerate(TASKS[:limit])]


def _paint(task: MiniTask, seed: int) -> RawTask:
    draws = Draws(seed)
    count = len(task.classes)
    train, test = TRAIN // count, TEST // count
    pictures = [task.painter(draws, label, train + test) for label in range(count)]
    labels = np.arange(count)

    def split(part: slice, per_class: int) -> ArrayImages:
        # Shuffled, so that the first images of a task are not of one class.
        order = draws.orders(1, count * per_class)[0]
        images = np.concatenate([of_class[part] for of_class in pictures])[order]
        return ArrayImages(images, np.repeat(labels, per_class)[order].tolist())

    return RawTask(task.name, task.classes, split(slice(train), train), split(slice(train, None), test))
