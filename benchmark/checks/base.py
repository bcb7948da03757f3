"""Defines checks and findings, and runs checks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

import numpy as np
import torch

from benchmark.learning.origin import origin_of
from methods.errors import UserError, first_line


class Subject(Protocol):
    """The object that is checked."""

    @property
    def cls(self) -> type:
        """Its class."""


S = TypeVar("S", bound=Subject)
# A check of options can also check methods.
S_contra = TypeVar("S_contra", bound=Subject, contravariant=True)


class WrongError(Exception):
    """A check failed; the message says what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Check(Generic[S_contra]):
    """A check.

    Attributes:
        name: the checked property, in words.
        look: raises WrongError or any other error if the check fails; returns advice, or nothing.
        remedy: what to do after an error other than WrongError.
        basis: whether all later checks are skipped if this one fails.
    """

    name: str
    look: Callable[[S_contra], str | None]
    remedy: str = "mend it there"
    basis: bool = False


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        check: the check's name.
        status: "skipped" if an earlier check that it needs has failed.
        text: what is wrong and what to do, or advice; empty if there is nothing to say.
    """

    check: str
    status: Literal["ok", "failed", "skipped"]
    text: str = ""

    def __str__(self) -> str:
        shown = self.status.upper() if self.status == "failed" else self.status
        return f"{shown:8}{self.check}{': ' if self.text else ''}{self.text}"


def examine(checks: Sequence[Check[S]], make: Callable[[], S]) -> Iterator[Finding]:
    """Run checks one after the other.

    Args:
        make: makes the object to check.
    """
    subject, lost = None, ""
    for check in checks:
        if lost:
            yield Finding(check.name, "skipped", f"mend '{lost}' first")
            continue
        subject = subject or make()
        finding = examine_one(check, subject)
        if finding.status == "failed" and check.basis:
            lost = check.name
        yield finding


def examine_one(check: Check[S], subject: S) -> Finding:
    """Run a check, and undo its changes to the process."""
    try:
        with process_restored():
            advice = check.look(subject)
    except (WrongError, UserError) as error:
        return Finding(check.name, "failed", one_line(error))
    except Exception as error:  # the checked code can raise anything
        origin = origin_of(error, subject.cls)
        where = f"in {origin}: " if origin else ""
        return Finding(check.name, "failed", f"{where}{first_line(error)}; {check.remedy}")
    return Finding(check.name, "ok", advice or "")


def one_line(error: Exception) -> str:
    """Return an error's text on one line."""
    return " ".join(str(error).split())


def same_bytes(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], told: str) -> None:
    """Check that tensors have the same names and values.

    Args:
        told: the meaning of a difference, and what to do.

    Raises:
        WrongError: there is a difference; the message gives the first name.
    """
    for name in sorted(first.keys() | second.keys()):
        if name not in first or name not in second or not torch.equal(first[name], second[name]):
            raise WrongError(f"'{name}' {told}")


def move_random_states() -> None:
    """Draw from all generators of the process: later results must not depend on them."""
    random.random()
    np.random.random()
    torch.rand(1)


def state_before() -> dict[str, object]:
    """Move the random states, and return the state of the process: a seed that is set must lead to another state."""
    move_random_states()
    return process_state()


def process_state() -> dict[str, object]:
    """Return the state of the whole process, by name in words."""
    return {
        "torch's default type of numbers": torch.get_default_dtype(),
        "torch's number of threads": torch.get_num_threads(),
        "whether torch records gradients": torch.is_grad_enabled(),
        "whether torch is deterministic": torch.are_deterministic_algorithms_enabled(),
        "Python's random state": random.getstate(),
        "NumPy's random state": [np.array(part).tolist() for part in np.random.get_state()],
    }


def refuse_changes(changed: Sequence[str]) -> None:
    """Raise WrongError if the state of the process was changed.

    Args:
        changed: names of the changed states, in words.
    """
    if changed:
        raise WrongError(
            f"it changes {' and '.join(changed)} for everything else in the process; leave it as it is, "
            "and draw random "
            "numbers from a generator of your own"
        )


@contextmanager
def process_restored() -> Iterator[None]:
    """Restore the state of the whole process after the block."""
    dtype, threads, gradients = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    deterministic = torch.are_deterministic_algorithms_enabled()
    python, numpy, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_grad_enabled(gradients)
        torch.use_deterministic_algorithms(deterministic)
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_state)
