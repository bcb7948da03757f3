"""How contenders are timed and how results are printed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TypeVar

import torch

from benchmark.report.text import aligned

T = TypeVar("T")


def race(contenders: Mapping[str, Callable[[int], T]], repetitions: int) -> dict[str, list[T]]:
    """Let contenders run in turn, several times, so that a slow moment of the machine hits all of them.

    Args:
        contenders: name -> a function that runs it once, given the number of the repetition, from 0.

    Returns:
        Name -> the results of its repetitions.
    """
    runs: dict[str, list[T]] = {name: [] for name in contenders}
    for repetition in range(repetitions):
        for name, contender in contenders.items():
            runs[name].append(contender(repetition))
    return runs


def fastest(repetitions: Iterable[Iterable[float]]) -> float:
    """The shortest epoch of all repetitions: others take longer because the machine does other work."""
    return min(chain.from_iterable(repetitions))


def thread_counts() -> list[int]:
    """One thread, and as many as torch takes by default."""
    return sorted({1, torch.get_num_threads()})


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute with `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table under a title that also names the machine.

    Args:
        header: the names of the columns.
        rows: each as long as the header.
    """
    machine = f"{os.cpu_count()} cores, threads: {torch.get_num_threads()}, torch {torch.__version__}"
    print(f"\n{title} ({machine})", *aligned([header, *rows], right=range(1, len(header))), sep="\n", flush=True)
