"""Answers for new images by what a run has learned, decoded and passed as a run's test images are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from benchmark.images.batches import pass_size
from benchmark.images.decoder import Decoder
from benchmark.images.labelled import LabelledImages
from benchmark.images.source import ImageSource
from benchmark.learning.panel import Panel
from benchmark.results.questions import asked, rule_of
from benchmark.storage.answers import DERIVED, Answers
from benchmark.task_inference.answered import in_columns_of
from benchmark.using.given import Given, images_of
from benchmark.using.guesser import Guesser, usable_rules
from benchmark.using.learned import Learned
from methods.errors import UserError
from methods.names import listed

#: The columns of a prediction. `task` is a number in the order of learning, from 1, `class` one within the task, from
#: 0. Where an image cannot be read, only `image` and `cause` have values.
COLUMNS = ("image", "task", "task_name", "class", "class_name", "confidence", "cause")

#: The values of COLUMNS for one image; None where there is none.
Row: TypeAlias = tuple[str, int | None, str | None, int | None, str | None, np.float32 | None, str | None]


@dataclass(frozen=True)
class Placed:
    """Answers within tasks.

    Attributes:
        places: the task of each answer, int64 [N], from 1; 0 where one head answers for all tasks.
        classes: int64 [N], the class within that task.
        confidence: float32 [N], its probability.
    """

    places: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]


class Predictor:
    """Answers for images: a call with paths or images gives a frame with a row for each image.

    Where one head answers for the classes of all tasks, no task need be known. Elsewhere the task is named, or a rule
    guesses it; without either the run's own main answer counts: a rule, if the run was to answer without the task.

    Args:
        learned: what answers.
        task: the name of the images' task, if it is known.
        infer: the rule that guesses it.

    Attributes:
        learned: as given.

    Raises:
        UserError: the task or the rule cannot be used, or one of them is needed.
    """

    def __init__(self, learned: Learned, task: str | None = None, infer: str | None = None):
        if task is not None and infer is not None:
            raise UserError(f"--task {task} and --infer {infer} both say which task an image is of; give one of them")
        self.learned = learned
        self._place = 0 if task is None else learned.place_of(task)
        if learned.cell.scenario == "task" and not self._place and infer is None:
            infer = rule_of(asked(learned.manifest, learned.key[0]).main)
            if infer is None and len(learned.tasks) > 1:
                raise UserError(
                    f"{learned.key[0]} answers for one task at a time, and the run does not say which: give --task "
                    f"with one of {listed(learned.names)}, or --infer with one of {', '.join(usable_rules(learned))}"
                )
            self._place = int(infer is None)
        self._guesser = None if infer is None else Guesser(learned, infer)
        sureness = self._guesser.sureness if self._guesser else {}
        self._panel = Panel(learned.cell, learned.precision, sureness)

    def __call__(self, images: Given) -> pd.DataFrame:
        """A row for each image, in the order of the images; see COLUMNS.

        Args:
            images: a path or several, of files, folders or zips; or images: of Pillow, arrays uint8 [H, W, 3] or
                [H, W], tensors uint8 [C, H, W], or all in one array [N, H, W, 3] or tensor [N, C, H, W].

        Raises:
            UserError: there are no images, or a path does not exist.
        """
        rows = [row for batch in self.rows(images_of(images)) for row in batch]
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        return frame.astype({"task": "Int64", "class": "Int64", "confidence": "Float32"})

    def rows(self, source: ImageSource) -> Iterator[list[Row]]:
        """A row for each image, in batches. The next images are decoded while a batch is answered."""
        size, channels = self.learned.image_size, self.learned.channels
        first = 0
        with Decoder() as decoder:
            for pixels, causes in decoder.ahead(source, size, channels, self.learned.reading, pass_size(size * size)):
                names = [source.describe(first + k) for k in range(len(pixels))]
                readable = [k for k in range(len(pixels)) if k not in causes]
                given = iter(self._rows_of(pixels[readable] if causes else pixels, [names[k] for k in readable]))
                broken: dict[int, Row] = {k: (names[k], *(None,) * 5, why) for k, why in causes.items()}
                yield [broken[k] if k in broken else next(given) for k in range(len(pixels))]
                first += len(pixels)

    def _rows_of(self, pixels: npt.NDArray[np.uint8], names: Sequence[str]) -> list[Row]:
        if not names:
            return []
        answers = self.answers(LabelledImages.from_pixels(pixels, torch.zeros(len(names), dtype=torch.int64)))
        return [
            (name, place or None, self._task_name(place), label, self._class_name(place, label), confidence, None)
            for name, place, label, confidence in zip(
                names, answers.places.tolist(), answers.classes.tolist(), answers.confidence, strict=True
            )
        ]

    def _task_name(self, place: int) -> str | None:
        return self.learned.names[place - 1] if place else None

    def _class_name(self, place: int, label: int) -> str | None:
        # All tasks have the same classes where it is not known which task it is.
        names = self.learned.class_names[max(0, place - 1)]
        return None if names is None else names[label]

    def answers(self, images: LabelledImages) -> Placed:
        """The answers to decoded images; their labels say nothing."""
        learned, panel, state = self.learned, self._panel, self.learned.state
        scenario = learned.cell.scenario
        if self._guesser:
            given = self._of_all(images)
            return self._split(in_columns_of(given, learned.widths, self._guesser.places(images, given)))
        own = panel.ask(state, self._place or state.learned, images).own
        if scenario == "class":
            return self._split(own[DERIVED if self._place else "class"])
        answers = own[scenario]
        return Placed(np.full(len(answers), self._place), answers.classes, answers.confidence)

    def _of_all(self, images: LabelledImages) -> list[Answers]:
        """What the network of each task answers."""
        panel, state = self._panel, self.learned.state
        tasks = list(range(1, state.learned + 1))
        groups = [tasks] if panel.is_together(state) else [[task] for task in tasks]
        found: dict[int, Any] = {}
        for group in groups:
            found |= panel.ask(state, group[0], images, group).by_task
        return [found[task] for task in tasks]

    def _split(self, answers: Answers) -> Placed:
        """Columns among the classes of all tasks as tasks and classes."""
        ends = np.cumsum(self.learned.widths)
        places = np.searchsorted(ends, answers.classes, side="right") + 1
        firsts = np.concatenate([[0], ends[:-1]])
        return Placed(places, answers.classes - firsts[places - 1], answers.confidence)
