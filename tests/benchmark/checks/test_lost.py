"""What a method leaves on its instance at the end of a task, and what only looks like that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from baselines.shared.finetuning import FineTuning
from benchmark.checks.lost import watched

STEP: Any = SimpleNamespace(loss=torch.ones(()))


class Forgets(FineTuning):
    """Reads at the start what the task before has left."""

    def before_backward(self, step: Any) -> None:
        if hasattr(self, "old"):
            step.loss += self.old

    def after_training_exp(self, step: Any) -> None:
        self.old = step.loss


class OfTheStep(FineTuning):
    """The step has an attribute of the same name, which a hook reads."""

    def before_backward(self, step: Any) -> None:
        step.loss += 0 * step.loss

    def after_training_exp(self, step: Any) -> None:
        self.loss = step.loss
        self.total = self.loss + 1


class Inferred(FineTuning):
    """Keeps a tensor that does not count its changes."""

    @torch.inference_mode()
    def before_forward(self, step: Any) -> None:
        self.mean = step.loss + 1

    def before_backward(self, step: Any) -> None:
        step.loss = step.loss * self.mean.clone()


@pytest.mark.parametrize(("cls", "expected"), [(Forgets, ["old"]), (OfTheStep, []), (Inferred, [])])
def test_what_is_lost(cls: type[FineTuning], expected: list[str]) -> None:
    lost: list[str] = []
    method = watched(cls(), lost)
    method.before_forward(STEP)
    method.after_training_exp(STEP)
    assert lost == expected
