"""Calls a function that uses a GPU in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

from benchmark.workers import begin_worker, context, warm_up
from methods.errors import UserError, first_line

_P = ParamSpec("_P")
_R = TypeVar("_R")


def ask(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call a function that uses a GPU in a process of its own, which then ends, and return what it returns.

    Raises:
        UserError: raised by the function; or the process did not survive.
    """
    # If this starts the server, it must know what the workers will import.
    warm_up()
    with ProcessPoolExecutor(1, mp_context=context(), initializer=begin_worker) as process:
        try:
            return process.submit(function, *args, **kwargs).result()
        except (RuntimeError, AssertionError, BrokenProcessPool) as error:
            raise UserError(
                f"--device cuda: torch cannot use the GPU here ({first_line(error)}); use --device cpu"
            ) from error
