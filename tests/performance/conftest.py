"""What the tests of the scripts share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from performance.timing import threads

#: The rows of a table, without that of the columns' names: what is a number is a float.
Rows = list[list[str | float]]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads(1):
        yield


@pytest.fixture
def tables(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[Rows]]:
    """tables(script, "--epochs", "2") -> the tables that the script prints."""

    def run(script: ModuleType, *arguments: str) -> list[Rows]:
        script.main(arguments)
        blocks = capsys.readouterr().out.strip().split("\n\n")
        return [[list(map(_value, re.split(r"\s{2,}", line))) for line in block.splitlines()[2:]] for block in blocks]

    return run


def _value(cell: str) -> str | float:
    try:
        return float(cell)
    except ValueError:
        return cell
