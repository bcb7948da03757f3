"""What tests of checks share: files that are loaded and forgotten again."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.backbones import backbones
from benchmark.streams import streams
from methods import methods

ROOT = Path(__file__).parents[3]
LAB = ROOT / "examples" / "my-lab" / "my_lab"


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test's files register is forgotten afterwards."""
    for registry in (methods, streams, backbones):
        monkeypatch.setattr(registry, "_entries", registry.entries())


@pytest.fixture
def broken(tmp_path: Path):
    """broken(source, [(old, new), ...]) -> a copy of a file in which each old text, which is there, is replaced."""

    def make(source: Path, changes: list[tuple[str, str]]) -> Path:
        text = source.read_text()
        for old, new in changes:
            assert text.count(old) >= 1, old
            text = text.replace(old, new)
        copy = tmp_path / "mine.py"
        copy.write_text(text)
        return copy

    return make


@pytest.fixture
def lab() -> Path:
    """The modules of the example package."""
    return LAB
