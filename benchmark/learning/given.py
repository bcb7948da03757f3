"""What a method gives to a step: logits that fit the labels, and a loss with a gradient.

Torch would say what is wrong with a sum, not with which function. Only shapes are looked at: nothing waits for a GPU.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmark.learning.workbench import Workbench
from methods.errors import UserError
from methods.method import Method
from methods.mistakes import place


def refuse_no_logits(bench: Workbench, given: Any, labels: Tensor, chosen: bool) -> None:
    """Refuse what is not logits [B, classes of the task], or of more classes.

    Args:
        given: what `forward` returned.
        labels: those of the minibatch, [B].
        chosen: whether the method itself chose the images, which may then have labels of its own.

    Raises:
        UserError: naming the function.
    """
    images, classes = len(labels), bench.network.classes
    if not isinstance(given, Tensor):
        raise _wrong(bench.method, "forward", f"gave {_shown(given)}, not logits [{images}, {classes}]")
    if given.ndim != 2 or len(given) != images:
        raise _wrong(bench.method, "forward", f"gave {list(given.shape)}, not logits [{images}, {classes}]")
    if given.shape[1] < classes and not chosen:
        raise _wrong(bench.method, "forward", f"gave {list(given.shape)}; the task has {classes} classes")


def refuse_no_loss(method: Method, logits: Tensor, loss: Any) -> None:
    """Refuse a loss that has no gradient.

    Args:
        logits: what `forward` returned.
        loss: the loss as `before_backward` left it.

    Raises:
        UserError: naming the function.
    """
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shown = list(loss.shape) if isinstance(loss, Tensor) else _shown(loss)
        raise _wrong(method, "before_backward", f"left the loss as {shown}; it must be a tensor with one number")
    if not loss.requires_grad:
        hook = "before_backward" if logits.requires_grad else "forward"
        raise UserError(
            f"the loss has no gradient after {hook}{place(getattr(type(method), hook))}: it must depend on what is "
            "trained, without detach() and no_grad()"
        )


def _wrong(method: Method, hook: str, what: str) -> UserError:
    return UserError(f"{hook} {what}, in {type(method).__name__}{place(getattr(type(method), hook))}")


def _shown(value: Any) -> str:
    return "None" if value is None else f"an object of the type {type(value).__name__}"
