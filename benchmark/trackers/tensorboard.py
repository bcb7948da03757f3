"""TensorBoard: a folder of event files for each cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from benchmark.files import folder_name
from benchmark.results.run import Results
from benchmark.trackers.base import LOSS, Lesson, tables_and_figures


class TensorBoardTracker:
    """Writes to `tensorboard/` in the run's folder, which `tensorboard --logdir` reads.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path):
        self._folder = folder / "tensorboard"
        self._writers: dict[str, SummaryWriter] = {}

    def known(self, cell: str) -> int:
        # The records hold everything, and an interruption may have cut the event files anywhere.
        _remove_events(self._path(cell))
        return 0

    def add(self, cell: str, lesson: Lesson) -> None:
        if cell not in self._writers:
            self._writers[cell] = SummaryWriter(self._path(cell))
        writer = self._writers[cell]
        for epoch, loss in zip(lesson.epochs, lesson.losses, strict=True):
            writer.add_scalar(LOSS, loss, epoch)
        for metric, accuracy in lesson.accuracies.items():
            writer.add_scalar(metric, accuracy, lesson.learned)
        writer.flush()

    def finish(self, cell: str) -> None:
        # Each writer is a thread, and there may be many cells.
        if cell in self._writers:
            self._writers.pop(cell).close()

    def publish(self, results: Results) -> None:
        _remove_events(self._folder)
        tables, figures = tables_and_figures(results.path)
        with SummaryWriter(self._folder) as writer:
            for path in tables:
                if path.suffix == ".md":
                    writer.add_text(path.stem, path.read_text())
            for path in figures:
                with Image.open(path, formats=["PNG"]) as image:
                    writer.add_image(path.stem, np.asarray(image.convert("RGB")), dataformats="HWC")

    def close(self) -> None:
        for cell in list(self._writers):
            self.finish(cell)

    def _path(self, cell: str) -> Path:
        return self._folder / folder_name(cell)


def _remove_events(folder: Path) -> None:
    """Remove the files of writers from a folder, which need not exist."""
    for path in folder.glob("events.out.tfevents.*"):
        path.unlink()
