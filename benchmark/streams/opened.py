"""One line about a task that was opened."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.images.decode import Resize
from benchmark.images.formats.sizes import Sizes
from benchmark.streams.source import RawTask
from methods.names import printable

_DONE = {"squeeze": "squeezed", "crop": "cropped"}


def opened_line(
    place: str, raw: RawTask, counts: tuple[int, int, int], sizes: Sizes | None, size: int, resize: Resize
) -> str:
    """What a task has, and what is left out of it.

    Args:
        place: the task's place in the stream, as "task 1 of 8".
        raw: the task before images were chosen.
        counts: its training, validation and test images.
        sizes: the sizes of these images before they were resized; None if they are not known.
        size: their height and width after that, in pixels.
        resize: how another shape was made a square.
    """
    train, validation, test = (f"{count:,}" for count in counts)
    given = sum(len(part.labels) for part in (raw.train, raw.validation, raw.test) if part is not None)
    unchosen = given - sum(counts)
    left_out = [*([_images(unchosen)] if unchosen else []), *raw.left_out]
    return printable(
        f"{place}, {raw.name}: {len(raw.classes)} classes; {train} training, {validation} validation and {test} test "
        f"images; {_pixels(sizes, size, resize)}; {_left_out(left_out)}"
    )


def _pixels(sizes: Sizes | None, size: int, resize: Resize) -> str:
    made = f"{size}x{size}"
    if sizes is None:
        return f"{made} pixels"
    if str(sizes) == made:
        return f"{sizes} pixels"
    (width, height), one_size = sizes.smallest, sizes.smallest == sizes.largest
    done = "resized" if one_size and width == height else _DONE[resize]
    return f"{sizes} pixels, {done} to {made}"


def _images(count: int) -> str:
    return f"{count:,} image{'s' if count != 1 else ''} that {'are' if count != 1 else 'is'} not asked for"


def _left_out(parts: Iterable[str]) -> str:
    listed = ", ".join(parts)
    return f"left out: {listed}" if listed else "nothing left out"
