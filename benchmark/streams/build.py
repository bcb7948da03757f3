"""From a stream's specification to its tasks: checked, selected, decoded and split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from benchmark.images.decode import PLAIN, Reading
from benchmark.images.decoder import Decoder
from benchmark.images.formats.sizes import joined
from benchmark.images.source import ImageSource
from benchmark.images.store import store_folder
from benchmark.streams import VALIDATION, streams
from benchmark.streams.base import Stream, Task
from benchmark.streams.duplicates import Decoded, DecodedTask, across_tasks_notes
from benchmark.streams.opened import opened_line
from benchmark.streams.selection import Integers, balanced, generator, hold_out_evenly, hold_out_per_class
from benchmark.streams.source import RawTask
from benchmark.streams.split import Split
from methods.errors import UserError
from methods.names import check_name
from methods.options import construct, parse_spec

#: Share of a class that becomes the test split if the source has none.
TEST_SHARE = 0.2


def build_stream(
    spec_text: str,
    *,
    tasks: int | None = None,
    image_size: int | None = None,
    channels: int = 3,
    train_images: int | None = None,
    test_images: int | None = None,
    validation: int = VALIDATION,
    tuning: bool = False,
    progress: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    reading: Reading = PLAIN,
    tell: Callable[[str], None] = lambda text: None,
) -> Stream:
    """The stream that a specification means, ready to learn from.

    Which images are chosen, and for which split, depends on the tasks' names and on the requested counts, never on a
    run's seed. Everything is checked before the first image is decoded, and images that any process decoded before are
    not decoded again.

    Decoding starts processes: as always in Python, a script that calls this needs `if __name__ == "__main__":`.

    Args:
        spec_text: NAME[:POSITIONAL][:option=value...], for example `folder:DIR:order=seed:7`.
        tasks: how many of the stream's tasks, from the first; all if None.
        image_size: height and width of the images, in pixels; the stream's own default if None.
        channels: 3 for colours, 1 for grey.
        train_images: training and validation images per task together, balanced over its classes; all if None. A
            validation split that the stream has is used whole, in addition.
        test_images: test images per task, balanced over its classes; all if None.
        validation: per cent of the training images that are held out if the stream has no validation split.
        tuning: whether the stream is for choosing methods' options: then no test image is read, the test splits are
            empty, and the stream may have fewer than `tasks` tasks.
        progress: called with one line of text before each task that has images to decode.
        warn: called with one line of text about data that the user should check: files that are left out, images that
            are both training and test images, damaged decoded images; `progress` if None.
        reading: how images of other shapes and depths are read.
        tell: called with one line of text about each task once it is decoded: what it has, and what is left out.

    Raises:
        UserError: the specification, a count, the content of the stream or the cache folder cannot be used.
    """
    if tasks is not None and tasks < 1:
        raise UserError(f"--tasks {tasks}: a stream has at least 1 task")
    if image_size is not None and image_size < 8:
        raise UserError(f"--image-size {image_size}: images need at least 8 pixels a side")
    spec = parse_spec(spec_text)
    source = construct(streams.get(spec.name), spec)
    raw_tasks = source.raw_tasks(tasks)
    if tasks is not None and len(raw_tasks) < tasks and not tuning:
        raise UserError(f"--tasks {tasks}: {spec.text} has only {len(raw_tasks)}")
    warn = warn or progress or (lambda text: None)
    _tell(warn, chain(source.notes, *(raw.notes for raw in raw_tasks)))
    _check_names(raw_tasks)
    repeated = [name for name, count in Counter(raw.name for raw in raw_tasks).items() if count > 1]
    if repeated:
        raise UserError(f"{spec.text} has several tasks called '{repeated[0]}'; give each a name of its own")
    plans = [_plan(raw, train_images, test_images, validation) for raw in raw_tasks]
    if tuning:
        plans = [replace(plan, test=plan.test[:0]) for plan in plans]

    size = image_size or source.default_image_size
    built: list[Task] = []
    decoded: list[DecodedTask] = []
    damaged: list[str] = []
    with Decoder() as decoder:
        for position, (raw, plan) in enumerate(zip(raw_tasks, plans, strict=True), 1):
            splits = [
                Split(raw.name, name, images, indices, size, channels, reading)
                for name, images, indices in (
                    ("train", raw.train, plan.train),
                    ("validation", plan.validation_source, plan.validation),
                    ("test", plan.test_source, plan.test),
                )
            ]
            found = [split.find(damaged) for split in splits]
            if progress and None in found:
                progress(
                    f"reading task {position} of {len(plans)}, {raw.name}: {len(raw.classes)} classes, "
                    f"{len(plan.train)} training, {len(plan.validation)} validation and {len(plan.test)} test images"
                )
            parts = [split.decode(decoder) if data is None else data for split, data in zip(splits, found, strict=True)]
            built.append(Task(raw.name, raw.classes, *parts, test_files=splits[-1].files()))
            train, held_out, test = map(Decoded, splits, parts)
            decoded.append(DecodedTask(train, held_out, test, splits_itself=raw.validation is None))
            _tell(warn, decoded[-1].notes())
            met = joined(split.sizes(data) for split, data in zip(splits, parts, strict=True))
            counts = (len(plan.train), len(plan.validation), len(plan.test))
            tell(opened_line(f"task {position} of {len(plans)}", raw, counts, met, size, reading.resize))
    _tell(warn, across_tasks_notes(decoded))
    if damaged:
        others = f" and {_count(len(damaged) - 1, 'other split')}" if damaged[1:] else ""
        warn(f"decoded images in {store_folder()} could not be used, and were decoded again: {damaged[0]}{others}")
    return Stream(spec.text, tuple(built))


def _tell(warn: Callable[[str], None], notes: Iterable[str]) -> None:
    for note in notes:
        warn(note)


@dataclass(frozen=True)
class _Plan:
    """The images of each split of a task: positions in its train source, or in the split's own source."""

    train: Integers
    validation: Integers
    test: Integers
    validation_source: ImageSource
    test_source: ImageSource


def _plan(raw: RawTask, train_images: int | None, test_images: int | None, validation: int) -> _Plan:
    if len(raw.classes) < 2:
        raise UserError(f"task '{raw.name}' has {_count(len(raw.classes), 'class')}; a task needs at least 2")
    labels = _labels(raw.train)
    # Two images of a class, because one may be held out for validation and one must be left to train on.
    least = 2 if raw.validation is None and validation else 1
    if raw.test is None:
        _check_classes(raw, labels, "training", at_least=least + 1, why=" to split a test set off")
        train, test = hold_out_per_class(labels, TEST_SHARE, generator(raw.name, "test split"))
        test_source = raw.train
    else:
        _check_classes(raw, labels, "training", at_least=least)
        _check_classes(raw, _labels(raw.test), "test", at_least=1)
        train, test = np.arange(len(labels)), np.arange(len(raw.test.labels))
        test_source = raw.test
    train = _select(raw, raw.train, train, "train", train_images, per_class=least)
    test = _select(raw, test_source, test, "test", test_images, per_class=1)
    if raw.validation is not None:
        count = len(raw.validation.labels)
        if not count:
            raise UserError(f"task '{raw.name}' has no validation images; add some, or remove their folder")
        return _Plan(train, np.arange(count), test, raw.validation, test_source)
    kept, held = hold_out_evenly(validation, labels[train], generator(raw.name, "validation split"))
    return _Plan(train[kept], train[held], test, raw.train, test_source)


def _check_names(raw_tasks: Sequence[RawTask]) -> None:
    """Refuse names of tasks and classes that cannot be shown.

    Raises:
        UserError: naming the first.
    """
    for raw in raw_tasks:
        check_name("task", raw.name)
        for name in raw.classes:
            check_name(f"task '{raw.name}': class", name)


def _select(
    raw: RawTask, source: ImageSource, candidates: Integers, split: str, count: int | None, per_class: int
) -> Integers:
    if count is None:
        return candidates
    least = per_class * len(raw.classes)
    if count < least:
        raise UserError(
            f"--{split}-images {count}: task '{raw.name}' has {len(raw.classes)} classes and needs at least {least}, "
            f"{per_class} per class"
        )
    return candidates[balanced(_labels(source)[candidates], count, generator(raw.name, f"{split} images"))]


def _check_classes(raw: RawTask, labels: Integers, split: str, at_least: int, why: str = "") -> None:
    for name, count in zip(raw.classes, np.bincount(labels, minlength=len(raw.classes)), strict=True):
        if count < at_least:
            raise UserError(
                f"task '{raw.name}': class '{name}' has {_count(int(count), f'{split} image')}; "
                f"each class needs at least {at_least}{why}"
            )


def _labels(source: ImageSource) -> Integers:
    return np.asarray(source.labels, dtype=np.int64)


def _count(number: int, noun: str) -> str:
    plural = "es" if noun.endswith("s") else "s"
    return f"{number or 'no'} {noun}{plural if number != 1 else ''}"
