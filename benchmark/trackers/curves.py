"""Turns what a run writes into the points of a tracker's curves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from benchmark.progress.events import CellEnded, Event, Listener, TaskBegan, Warned, tell_all
from benchmark.results.run import Results
from benchmark.storage.folder import RunFolder, cell_name
from benchmark.storage.manifest import Manifest
from benchmark.storage.records import read_records
from benchmark.trackers.base import Tracker, lessons, settings_of
from methods.errors import first_line


def open_tracker(name: str, folder: RunFolder, manifest: Manifest) -> Tracker:
    """The tracker that --tracker names, for a run that begins or goes on.

    Raises:
        UserError: it cannot be used.
    """
    if name == "tensorboard":
        from benchmark.trackers.tensorboard import TensorBoardTracker

        return TensorBoardTracker(folder.path)
    settings = {cell_name(cell, manifest): settings_of(manifest, cell) for cell in manifest.cells}
    if name == "wandb":
        from benchmark.trackers.wandb import WandbTracker

        return WandbTracker(folder.path, manifest["started"], settings)
    from benchmark.trackers.mlflow import MLflowTracker

    return MLflowTracker(folder.path, manifest["started"], settings)


class Curves:
    """Tells a tracker what cells have learned: it reads the run's folder when it hears about a task.

    An error of the tracker does not stop the run, but the tracker is told nothing more.

    Args:
        tracker: from `open_tracker`.
        folder: of the run.
        manifest: of the run.
        complain: called with what went wrong.
    """

    def __init__(self, tracker: Tracker, folder: RunFolder, manifest: Manifest, complain: Callable[[str], None]):
        self._tracker: Tracker | None = tracker
        self._folder = folder
        self._complain = complain
        self._tasks = len(manifest.tasks)
        self._unfinished = {
            cell_name(cell, manifest): (cell["method"], cell["seed"], cell["order"]) for cell in manifest.cells
        }
        self._told: dict[str, int] = {}

    def handle(self, event: Event) -> None:
        """Tell what a cell has learned when its next task begins, and everything when a cell ends."""
        match event:
            case TaskBegan(name) if name in self._unfinished:
                self._guard(partial(self._tell, name))
            case CellEnded():
                self.catch_up()

    def catch_up(self) -> None:
        """Tell all that is in the folder. If tasks are learned apart, a cell can be complete when another one ends."""
        for name in list(self._unfinished):
            self._guard(partial(self._tell, name))

    def publish(self, results: Results) -> None:
        """Take the results: the run has ended, and its tables and figures are written."""
        self.catch_up()
        self._guard(lambda tracker: tracker.publish(results))

    def close(self) -> None:
        """Close the tracker: nothing more comes until the run goes on."""
        self._guard(lambda tracker: tracker.close())

    def _tell(self, name: str, tracker: Tracker) -> None:
        records = read_records(self._folder.cell(*self._unfinished[name]))
        if not records:
            return
        if name not in self._told:
            self._told[name] = tracker.known(name)
        for lesson in lessons(records, self._tasks)[self._told[name] :]:
            tracker.add(name, lesson)
            self._told[name] = lesson.learned
        if len(records) == self._tasks:
            del self._unfinished[name]
            tracker.finish(name)

    def _guard(self, act: Callable[[Tracker], None]) -> None:
        if self._tracker is None:
            return
        try:
            act(self._tracker)
        except Exception as error:  # whatever a library or a server does
            self._tracker = None
            self._complain(first_line(error))


@contextmanager
def tracked(
    name: str | None, folder: RunFolder, manifest: Manifest, tell: Listener
) -> Iterator[tuple[Listener, Callable[[Results], None]]]:
    """Send the measurements of a run to the tracker of --tracker while the run goes on.

    Yields:
        The listener for the run's events, and a function that takes the run's results when its tables and figures
        are written.

    Raises:
        UserError: the tracker cannot be used.
    """
    if name is None:
        yield tell, lambda results: None
        return
    tracker = open_tracker(name, folder, manifest)

    def complain(cause: str) -> None:
        tell(Warned(f"--tracker {name} gets no more, the run goes on without it ({cause})"))

    curves = Curves(tracker, folder, manifest, complain)

    try:
        yield tell_all(tell, curves.handle), curves.publish
    finally:
        curves.close()
