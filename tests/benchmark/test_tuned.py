"""The file of tuned specifications, as `run --tuned` reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.tuned import read_tuned, tuned_methods, write_tuned
from methods.errors import UserError


def entry(best: str) -> dict[str, Any]:
    return {"best": best, "accuracy": 0.5, "default_accuracy": 0.25, "trials": []}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    content = {
        "settings": {"stream": "folder:a b", "tuning_tasks": 3, "image_size": None, "budget": 7},
        "stream": {},
        "backbone": {},
        "methods": {"ewc": entry("ewc:lr=0.02:strength=3"), "er:memory=10": entry("er:memory=10:lr=0.1")},
    }
    path = Path("tuned.json")
    write_tuned(path, content)
    assert read_tuned(path, "--tuned") == content
    return path


def refusal(*arguments) -> str:
    with pytest.raises(UserError) as caught:
        tuned_methods(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_methods_take_their_best_specifications_in_the_order_asked_for(file):
    assert tuned_methods(("er:memory=10", "ewc"), file).specifications == (
        "er:memory=10:lr=0.1",
        "ewc:lr=0.02:strength=3",
    )
    assert tuned_methods(("ewc",), file).specifications == ("ewc:lr=0.02:strength=3",)


def test_a_method_that_is_missing_is_refused_with_the_command_that_adds_it(file):
    assert refusal(("si", "ewc", "er"), file) == (
        "--tuned: tuned.json has no 'si'; tune it with: python -m benchmark tune --methods si,er "
        "--stream 'folder:a b' --tuning-tasks 3 --budget 7 --out tuned.json"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "--tuned: there is no file tuned.json; `python -m benchmark tune` makes one"),
        ("{", "--tuned: tuned.json is damaged: Expecting property name"),
        ("[]", "--tuned: tuned.json is no file of `python -m benchmark tune`"),
        ("{}", "--tuned: tuned.json is no file of `python -m benchmark tune`"),
        (
            json.dumps({"settings": {}, "stream": {}, "backbone": {}, "methods": {"ewc": {"best": "ewc"}}}),
            "--tuned: tuned.json is no file of `python -m benchmark tune`",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(file, content, says):
    file.unlink()
    if content is not None:
        file.write_text(content)
    assert refusal(("ewc",), file).startswith(says)


def test_a_folder_is_refused(tmp_path):
    assert refusal(("ewc",), tmp_path) == f"--tuned: {tmp_path} cannot be read: Is a directory"


def test_where_nothing_can_be_written_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"gone cannot be written \(No such file or directory\); make room"):
        write_tuned(tmp_path / "gone" / "tuned.json", {})
