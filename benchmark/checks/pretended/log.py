"""What a program does with the pretended GPU: its kernels, its waits, and in which step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class DeviceError(RuntimeError):
    """The program would end with an error on a real GPU: an operator gets tensors of several devices."""


class WaitError(RuntimeError):
    """The program waits for the GPU where it must not."""


@dataclass(frozen=True)
class Wait:
    """The program waited for the GPU.

    Attributes:
        step: the number of the step, from 1; 0 outside of steps.
        cause: what made it wait, in words.
    """

    step: int
    cause: str


class Log:
    """What happened on the pretended GPU.

    Args:
        strict: a wait in the second step or a later one is an error.

    Attributes:
        launches: number of the step, from 1 -> kernels that it launched; 0 for all outside of steps. An operator is one
            launch, also if it works on a list of tensors, but for those that only look at a tensor in another way.
        waits: all waits so far.
    """

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict
        self.launches: Counter[int] = Counter()
        self.waits: list[Wait] = []
        self._done: Callable[[], int] | None = None

    @property
    def step(self) -> int:
        """The number of the present step, from 1; 0 outside of steps."""
        return self._done() + 1 if self._done else 0

    @contextmanager
    def stepping(self, done: Callable[[], int]) -> Iterator[None]:
        """Steps are made in the block.

        Args:
            done: returns the number of steps that are done.
        """
        self.begin_steps(done)
        try:
            yield
        finally:
            self.end_steps()

    def begin_steps(self, done: Callable[[], int]) -> None:
        """Begin steps; see `stepping`."""
        self._done = done

    def end_steps(self) -> None:
        """End the steps."""
        self._done = None

    def launch(self) -> None:
        """Note a kernel."""
        self.launches[self.step] += 1

    def wait(self, cause: str) -> None:
        """Note a wait.

        Args:
            cause: what makes the program wait, in words.

        Raises:
            WaitError: in the second step or a later one, if the log is strict.
        """
        self.waits.append(Wait(self.step, cause))
        if self.strict and self.step > 1:
            raise WaitError(f"{cause} waits for the GPU in each step")
