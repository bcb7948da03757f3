"""One data set of the user's own files, with its classes divided among the tasks."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.images.source import ImageSource
from benchmark.streams import streams
from benchmark.streams.folder import read_entry
from benchmark.streams.image_tree import TreeImages
from benchmark.streams.shares import Shares
from benchmark.streams.source import RawTask, StreamSource
from methods.errors import UserError
from methods.names import check_name
from methods.paths import given_path


@streams.register("split-folder")
class SplitFolder(StreamSource):
    """split-folder:DIR[:tasks=10][:order=1993] - one ImageFolder tree or zip, its classes divided among tasks

    Args:
        dir: the folder or zip with train/<class>/ and test/<class>/ (see task_tree.read_task).
        tasks: number of tasks. Without `first` and `increment`, all have the same number of classes.
        order: the order of the classes: by their names if None; or a random one, NumPy's permutation after
            `numpy.random.seed(order)`, as in PyCIL and PILOT, which use 1993.
        first: classes of the first task; the other tasks share the rest as evenly as possible, earlier ones getting one
            more if need be.
        increment: classes of each task after the first, instead of `tasks`; without `first`, of all tasks.
    """

    default_image_size = 224

    def __init__(
        self,
        dir: str,
        tasks: int | None = None,
        order: int | None = None,
        first: int | None = None,
        increment: int | None = None,
    ):
        self.dir = dir
        self.shares = Shares(10 if (tasks, increment) == (None, None) else tasks, order, first, increment)

    def raw_tasks(self, limit: int | None) -> list[RawTask]:
        path = given_path("--stream", self.dir, home=True)
        if not path.exists():
            raise UserError(f"there is no folder {path}; split-folder:DIR needs one with train/<class>/ in it")
        name = path.name.removesuffix(".zip") or path.resolve().name
        check_name(f"{path}: task", name)
        whole = read_entry(name, path)
        try:
            groups = self.shares.groups(len(whole.classes))
        except ValueError as error:
            raise UserError(f"split-folder:{self.dir}: {error}") from None
        self.notes = whole.notes
        digits = len(str(len(groups)))
        return [_task(whole, f"{name}-{number:0{digits}}", labels) for number, labels in enumerate(groups[:limit], 1)]


def _task(whole: RawTask, name: str, labels: list[int]) -> RawTask:
    """The task of some classes, which are numbered in the given order."""
    place = {label: number for number, label in enumerate(labels)}
    train, test, validation = (_some(images, place) for images in (whole.train, whole.test, whole.validation))
    assert train is not None
    left_out = tuple(f"{part} of all tasks together" for part in whole.left_out)
    classes = tuple(whole.classes[label] for label in labels)
    return RawTask(name, classes, train, test, validation, left_out=left_out)


def _some(images: ImageSource | None, place: Mapping[int, int]) -> TreeImages | None:
    """The images with labels in `place`, labelled by their values there; None where there are none."""
    if images is None:
        return None
    assert isinstance(images, TreeImages)
    chosen = images.part([index for index, label in enumerate(images.labels) if label in place])
    return TreeImages(chosen.tree, chosen.paths, [place[label] for label in chosen.labels])
