"""The method that CONTRIBUTING.md shows is a whole plugin, and works as it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from benchmark.cli import main
from methods import methods


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    code = re.search(r"<!-- the tests load exactly this text -->\n```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    assert code[1].count("\n") < 40
    path = tmp_path / "l2_anchor.py"
    path.write_text(code[1])
    return path


def test_is_loaded_with_plugin_and_compared(plugin: Path, tmp_path: Path) -> None:
    command = ["run", "--plugin", str(plugin), "--methods", "sgd,l2-anchor:strength=1", "--tasks", "2", "--epochs", "1"]
    try:
        status = main([*command, "--train-images", "60", "--test-images", "30", "--out", str(tmp_path), "--name", "a"])
    finally:
        methods._entries.pop("l2-anchor", None)
    assert status == 0
    summary = pd.read_csv(tmp_path / "a" / "summary.csv")
    assert summary["method"].tolist() == ["sgd", "l2-anchor:strength=1"]
    assert summary["status"].tolist() == ["succeeded", "succeeded"]
    record = json.loads((tmp_path / "a" / "cells" / "l2-anchor_strength=1" / "seed-0" / "after-2.json").read_text())
    trained = 4 * 293_912
    assert record["bytes"]["memory"] == trained, "the anchor is counted because it is kept"
