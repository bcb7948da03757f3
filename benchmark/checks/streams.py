"""The contract of a stream: it names its tasks, labels its images, and gives the same images each time."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from PIL import Image

from benchmark.checks.base import Check, WrongError, move_random_states, process_state, refuse_changes, state_before
from benchmark.checks.instance import Instances
from benchmark.checks.options import OPTION_CHECKS, place_of
from benchmark.images.source import ImageSource
from benchmark.streams.source import RawTask, StreamSource
from methods.errors import UserError
from methods.names import check_name

# How many images of a split are checked.
_LOOKED_AT = 20


class StreamSubject(Instances):
    """A stream to check; only its first two tasks are used."""

    @cached_property
    def tasks(self) -> list[RawTask]:
        """The tasks of one call of the stream."""
        return self.raw(2)

    def raw(self, limit: int) -> list[RawTask]:
        """Return the first tasks of a fresh instance."""
        source: StreamSource = self.make()
        return source.raw_tasks(limit)


def splits(tasks: list[RawTask]) -> Iterator[tuple[str, RawTask, ImageSource]]:
    """Yield (name in words, task, images) for each split of the source."""
    for task in tasks:
        for name, images in (("training", task.train), ("test", task.test), ("validation", task.validation)):
            if images is not None:
                yield f"the {name} images of {task.name}", task, images


def some(images: ImageSource) -> list[int]:
    """Return indices spread over a split."""
    return np.unique(np.linspace(0, len(images.labels) - 1, _LOOKED_AT).astype(int)).tolist()


def pixels(images: ImageSource, index: int) -> bytes:
    """Return an image as bytes; different images give different bytes."""
    image = images.read(index).convert("RGB")
    return f"{image.size}".encode() + image.tobytes()


def gives_tasks(subject: StreamSubject) -> None:
    """`raw_tasks(2)` returns a list of at most two RawTask."""
    tasks = subject.tasks
    if not (isinstance(tasks, list) and tasks and all(isinstance(task, RawTask) for task in tasks)):
        raise WrongError(
            f"raw_tasks of {place_of(subject.cls)} gives {tasks!r:.60}; return a list of at least one RawTask"
        )
    size = getattr(subject.make(), "default_image_size", None)
    if not isinstance(size, int) or size < 8:
        raise WrongError(
            f"default_image_size of {place_of(subject.cls)} is {size!r}; give a whole number from 8, in pixels"
        )


def keeps_the_limit(subject: StreamSubject) -> None:
    """`raw_tasks(limit)` returns only the first tasks."""
    if len(subject.tasks) > 2:
        raise WrongError(f"raw_tasks(2) gives {len(subject.tasks)} tasks; return only the first `limit`")
    (first, *more) = subject.raw(1)
    if more or first.name != subject.tasks[0].name:
        raise WrongError(
            "raw_tasks(1) does not give the first task of raw_tasks(2) alone; return the first `limit` tasks"
        )


def has_names(subject: StreamSubject) -> None:
    """Names are text without control characters, and no name occurs twice."""
    names = [task.name for task in subject.tasks]
    for name in names:
        _text("task", name)
        if names.count(name) > 1:
            raise WrongError(f"two tasks are called '{name}'; give each a name of its own")
    for task in subject.tasks:
        if len(task.classes) < 2:
            raise WrongError(f"task '{task.name}' has {len(task.classes)} classes; a task needs two")
        for name in task.classes:
            _text("class", name)
            if list(task.classes).count(name) > 1:
                raise WrongError(f"two classes of task '{task.name}' are called '{name}'; give each a name of its own")


def _text(kind: str, name: object) -> None:
    if not isinstance(name, str) or not name:
        raise WrongError(f"the name of a {kind} is {name!r}; names are text")
    try:
        check_name(kind, name)
    except UserError as error:
        raise WrongError(str(error)) from None


def has_labels(subject: StreamSubject) -> None:
    """Each label is the number of a class, from 0, and each class has images."""
    for told, task, images in splits(subject.tasks):
        labels, classes = list(images.labels), range(len(task.classes))
        odd = [label for label in labels if int(label) != label or label not in classes]
        if odd:
            raise WrongError(f"{told} have the label {odd[0]!r}; labels are whole numbers from 0 to {len(classes) - 1}")
        empty = [task.classes[number] for number in classes if number not in set(labels)]
        if empty and images is not task.validation:
            raise WrongError(f"{told} have none of class '{empty[0]}'; give each class images, or leave the class out")


def reads_images(subject: StreamSubject) -> None:
    """`read` returns the same image each time."""
    for told, _, images in splits(subject.tasks):
        for index in some(images):
            image = images.read(index)
            if not isinstance(image, Image.Image):
                raise WrongError(f"read({index}) of {told} gives {type(image).__name__}; return a PIL image")
            if pixels(images, index) != pixels(images, index):
                raise WrongError(f"read({index}) of {told} gives another image each time; draw nothing there")


def repeats(subject: StreamSubject) -> None:
    """A second instance gives the same tasks, with any global random state."""
    subject.tasks  # noqa: B018  # compute before the random states are moved
    move_random_states()
    again = subject.raw(2)
    told = "draw random numbers from a generator with a seed of its own"
    for (name, task, images), (_, other, same) in zip(splits(subject.tasks), splits(again), strict=True):
        if (task.name, task.classes) != (other.name, other.classes):
            raise WrongError(f"a second instance names task '{task.name}' or its classes otherwise; {told}")
        if list(images.labels) != list(same.labels):
            raise WrongError(f"{name} have other labels in a second instance; {told}, and sort what files are listed")
        if any(pixels(images, index) != pixels(same, index) for index in some(images)):
            raise WrongError(f"{name} are others in a second instance; {told}")


def is_identified(subject: StreamSubject) -> str | None:
    """`identity` is equal for equal images, and different for different images."""
    known: dict[str, tuple[str, list[bytes]]] = {}
    again = {name: images for name, _, images in splits(subject.raw(2))}
    for name, _, images in splits(subject.tasks):
        chosen = some(images)
        told = images.identity(chosen)
        if told is None:
            return (
                "identity gives None, so that each run decodes the images again; return a text that changes with them"
            )
        if told != again[name].identity(chosen):
            raise WrongError(
                f"identity of {name} is another one in a second instance; find it from the images or files"
            )
        for indices in (chosen, chosen[:-1], chosen[::-1]):
            shown = [pixels(images, index) for index in indices]
            own = str(images.identity(indices))
            other, seen = known.setdefault(own, (name, shown))
            if seen != shown:
                raise WrongError(
                    f"identity of {name} is also that of other images ({other}, or others of them in "
                    "another order); let "
                    "it depend on the indices and on what the images are"
                )
    return None


def parts_travel(subject: StreamSubject) -> None:
    """The result of `part` can be sent to another process, and reads the same images."""
    for name, _, images in splits(subject.tasks):
        chosen = some(images)
        part = images.part(chosen)
        if part is None:
            continue
        # Workers get it pickled.
        part = pickle.loads(pickle.dumps(part))  # noqa: S301
        if any(pixels(part, place) != pixels(images, index) for place, index in enumerate(chosen)):
            raise WrongError(f"part of {name} reads other images than the whole; number them from 0 in the given order")


def splits_are_apart(subject: StreamSubject) -> str | None:
    """No checked image is both a training and a test image."""
    for task in subject.tasks:
        if task.test is not None:
            trained = {pixels(task.train, index) for index in some(task.train)}
            twice = sum(pixels(task.test, index) in trained for index in some(task.test))
            if twice:
                return (
                    f"of {len(some(task.test))} test images of {task.name}, {twice} are training images too; look why"
                )
    return None


def leaves_the_process_alone(subject: StreamSubject) -> None:
    """It does not change random states of the process."""
    before = state_before()
    subject.raw(2)
    refuse_changes([name for name, value in process_state().items() if value != before[name]])


STREAM_CHECKS: tuple[Check[StreamSubject], ...] = (
    *OPTION_CHECKS,
    Check("gives its tasks", gives_tasks, basis=True),
    Check("gives no more tasks than are asked for", keeps_the_limit),
    Check("tasks and classes have names of their own", has_names),
    Check("labels are numbers of classes, and each class has images", has_labels, basis=True),
    Check("reads its images", reads_images, basis=True),
    Check("the same tasks each time", repeats),
    Check("identity tells images apart", is_identified),
    Check("parts can be sent to other processes", parts_travel, "let part return what pickle can send"),
    Check("training and test images are apart", splits_are_apart),
    Check("leaves the rest of the process alone", leaves_the_process_alone),
)
