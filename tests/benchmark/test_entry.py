"""benchmark/__main__.py: a folder that holds modules with the names of this program's packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def started(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`methods clr` from a folder, with the checkout behind it on the path."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *options, "-m", "benchmark", "methods"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["methods.py", "baselines/__init__.py"])
def test_a_module_in_the_way_is_named_in_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("raise SystemExit('the file of the user ran')\n", encoding="utf-8")
    ended = started(tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith(f"error: {(tmp_path / name).resolve()} has the name of a package of this program")


def test_where_the_current_folder_is_not_searched_nothing_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "methods.py").write_text("1 / 0\n", encoding="utf-8")
    ended = started(tmp_path, "-P")
    assert ended.returncode == 0
    assert ended.stdout.startswith("clr ")


def test_a_folder_without_modules_of_that_name_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "other.py").write_text("1 / 0\n", encoding="utf-8")
    assert started(tmp_path).returncode == 0
