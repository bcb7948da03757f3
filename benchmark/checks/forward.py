"""Compares what a method trains with what answers: `forward` is for training only."""

from __future__ import annotations

from contextlib import suppress

import torch

from methods.method import Method
from methods.step import Step


def compared(method: Method, differs: list[float]) -> Method:
    """Return the method, which adds now to `differs` by how much logits of `forward` differ from the network's answer.

    Both are computed at the end of a task, in evaluation mode, for the last minibatch. Nothing is added if they are the
    same, if they are not of the same images and classes, or if the method has no `forward` of its own.

    Args:
        method: a fresh instance.
    """
    end = method.after_training_exp

    @torch.no_grad()
    def compare(step: Step) -> None:
        step.model.eval()
        # A method may be unable to go on after its end.
        with suppress(Exception):
            given, wanted = method.forward(step).float(), step.model(step.images).float()
            # Logits of classes that take no part in the loss are -inf. Other shapes raise an error here.
            open_in_both = given.isfinite() & wanted.isfinite()
            given, wanted = given[open_in_both], wanted[open_in_both]
            if not torch.allclose(given, wanted, rtol=1e-3, atol=1e-4):
                differs.append((given - wanted).abs().max().item())
        step.model.train()

    def ended(step: Step) -> None:
        end(step)
        if type(method).forward is not Method.forward and type(method).learns_in_steps:
            compare(step)

    method.after_training_exp = ended  # type: ignore[method-assign]
    return method
