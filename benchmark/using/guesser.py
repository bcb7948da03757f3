"""Guesses the task of new images, with what a run has kept for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from benchmark.images.labelled import LabelledImages
from benchmark.storage.answers import Answers
from benchmark.task_inference.answered import surest
from benchmark.task_inference.base import Measure
from benchmark.task_inference.feature_rules import FEATURE_RULES
from benchmark.task_inference.frozen import FrozenBackbone
from benchmark.task_inference.kept import KeptFiles
from benchmark.task_inference.rules import FEATURE_NAMES, SURENESS_NAMES, parse_rules
from benchmark.task_inference.sureness import SURENESS
from benchmark.using.learned import Learned
from methods.errors import UserError


def usable_rules(learned: Learned) -> tuple[str, ...]:
    """The rules by which the tasks of a cell can be guessed: those that keep nothing, and those of the run."""
    kept = [rule for rule in learned.manifest.rules_of(learned.key[0]) if rule in FEATURE_NAMES]
    return () if learned.cell.scenario == "domain" else (*SURENESS_NAMES, *kept)


class Guesser:
    """Guesses tasks by one rule.

    Args:
        learned: the cell.
        rule: the rule.

    Raises:
        UserError: there is no such rule, or the run has kept nothing for it.
    """

    def __init__(self, learned: Learned, rule: str):
        if parse_rules(rule) != (rule,):
            raise UserError(f"--infer {rule}: an image has one answer; give one rule")
        usable = usable_rules(learned)
        if not usable:
            raise UserError(f"--infer {rule}: one head of {learned.key[0]} answers for all tasks; leave it out")
        if rule not in usable:
            raise UserError(
                f"--infer {rule}: the run kept nothing for this rule, as it was not begun with it; here are "
                f"{', '.join(usable)}"
            )
        self._rule, self._learned = rule, learned
        #: How sure a network is by the rule, for a Panel.
        self.sureness: Mapping[str, Callable[[Tensor], Tensor]] = {rule: SURENESS[rule]} if rule in SURENESS else {}
        self._measures = [] if rule in SURENESS else self._read()

    def _read(self) -> list[Measure]:
        """How near a point is to each task, from the files of the run."""
        learned, (_, seed, order) = self._learned, self._learned.key
        rules = tuple(rule for rule in learned.setting("infer") if rule in FEATURE_NAMES)
        folder = learned.run.guesses(seed, order)
        kept = KeptFiles(folder, learned.cell.tasks, seed, rules).after(learned.state.learned)
        if kept is None:
            raise UserError(
                f"--infer {self._rule}: a file of {folder} that says what the rule keeps is missing, damaged, or of "
                f"another number of tasks than {learned.state.learned}; give the command of the run again"
            )
        return FEATURE_RULES[self._rule].measures(*kept.of(self._rule))

    def places(self, images: LabelledImages, given: Sequence[Answers]) -> npt.NDArray[np.int64]:
        """The task guessed for each image, int64 [N], from 1.

        Args:
            images: the images.
            given: what the network of each task answers, and how sure it is.
        """
        if not self._measures:
            return surest(given, self._rule)
        cell, rule = self._learned.cell, FEATURE_RULES[self._rule]
        backbone = FrozenBackbone(cell.pristine, cell.device, self._learned.precision, cell.memory_format)
        points = rule.points(backbone.features(images, "the images"))
        return np.stack([measure(points) for measure in self._measures]).argmax(0) + 1
