"""The file of tuned specifications, as `run --tuned` reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.storage.tuned import read_tuned, tuned_methods, write_tuned
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
    ("seeds", "typed"),
    [({"seeds": [100, 101]}, "100,101"), ({"seeds": [100]}, "100,"), ({"seed": 100}, "100,")],
)
def test_the_command_that_adds_a_method_has_the_seeds(file, seeds, typed):
    """`--seeds 100` would mean a hundred seeds. Older versions wrote one seed."""
    content = json.loads(file.read_bytes())
    file.write_text(json.dumps(content | {"settings": {"stream": "mini", **seeds}}))
    assert refusal(("si",), file) == (
        "--tuned: tuned.json has no 'si'; tune it with: python -m benchmark tune --methods si --stream mini "
        f"--seeds {typed} --out tuned.json"
    )


@pytest.mark.parametrize(
    ("settings", "again"),
    [({"seeds": [100, 1, 0]}, [0, 1]), ({"seed": 2}, [2]), ({"seeds": [100]}, []), ({}, [])],
)
def test_the_seeds_that_chose_the_options_are_known_again(file, settings, again):
    content = json.loads(file.read_bytes())
    file.write_text(json.dumps(content | {"settings": settings}))
    assert tuned_methods(("ewc",), file).seeds_again((0, 1, 2)) == again


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "--tuned: there is no file tuned.json; `python -m benchmark tune` makes one"),
        ("{", "--tuned: tuned.json is damaged: Expecting property name"),
        ("[" * 100_000, "--tuned: tuned.json is damaged: it is nested too deeply"),
        (
            json.dumps({"settings": {}, "stream": {}, "backbone": {}, "methods": [entry("ewc")]}),
            "--tuned: tuned.json is no file of `python -m benchmark tune`",
        ),
        (
            json.dumps({"settings": {}, "stream": {"tasks": [1]}, "backbone": {}, "methods": {}}),
            "--tuned: tuned.json is no file of `python -m benchmark tune`",
        ),
        (
            json.dumps({"settings": {}, "stream": {}, "backbone": {"fingerprint": 3}, "methods": {}}),
            "--tuned: tuned.json is no file of `python -m benchmark tune`",
        ),
        (
            json.dumps({"settings": {"seeds": 100}, "stream": {}, "backbone": {}, "methods": {}}),
            "--tuned: tuned.json is no file of `python -m benchmark tune`",
        ),
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


@pytest.mark.parametrize("best", ["er:lr=0.02", "ewcc", "", 5, None, ["ewc"]])
def test_the_best_of_a_method_is_that_method(file, best):
    content = json.loads(file.read_bytes())
    content["methods"]["ewc"]["best"] = best
    file.write_text(json.dumps(content))
    assert refusal(("er:memory=10",), file) == (
        f"--tuned: tuned.json is damaged: the best of 'ewc' is {best!r}, which is not that method with options added; "
        "tune it again"
    )


@pytest.mark.parametrize("text", ["[" * 100_000, "\xff\xfe", '{"settings": []'])
def test_what_is_no_json_is_refused(file, text):
    file.write_text(text, encoding="latin-1")
    assert refusal(("ewc",), file).startswith("--tuned: tuned.json is damaged: ")


STREAM = {"stream": "mini", "image_size": None, "train_images": None, "epochs": 8, "batch_size": 32}
HERE = {**STREAM, "augment": [], "precision": "fp32", "equal_memory": None, "equal_compute": None, "backbone": "mini"}


@pytest.mark.parametrize(
    ("changes", "images", "weights", "told"),
    [
        ({}, {}, "w", []),
        ({"epochs": 2}, {}, "w", ["--epochs 2 instead of 8"]),
        (
            {"batch_size": 16, "augment": ["flip"]},
            {},
            "w",
            ["--batch-size 16 instead of 32", "--augment flip instead of (none)"],
        ),
        ({"precision": "bf16"}, {}, "w", ["--precision bf16 instead of fp32"]),
        ({"equal_compute": "clr"}, {}, "w", ["--equal-compute clr instead of (default)"]),
        ({"stream": "folder:x"}, {"dogs": "d"}, "w", ["--stream folder:x instead of mini"]),
        # The same images by another name, and of a run with more tasks than were tuned on.
        ({"stream": "folder:x"}, {"digits": "a", "letters": "b", "dogs": "d"}, "w", []),
        ({"image_size": 64}, {"digits": "z", "letters": "y"}, "w", ["--image-size 64 instead of (default)"]),
        ({}, {"digits": "a", "letters": "z"}, "w", ["other images or labels in task 'letters'"]),
        ({"backbone": "resnet18"}, {}, "v", ["--backbone resnet18 instead of mini"]),
        ({}, {}, "v", ["other weights of the backbone mini"]),
    ],
)
def test_what_a_run_does_otherwise_than_the_tuning(file, changes, images, weights, told):
    content = json.loads(file.read_bytes()) | {
        "settings": {**STREAM, "backbone": "mini", "tuning_tasks": 2, "budget": 3, "seed": 100, "device": "cpu"},
        "stream": {"spec": "mini", "fingerprint": "f", "tasks": {"digits": "a", "letters": "b"}},
        "backbone": {"spec": "mini", "fingerprint": "w"},
    }
    write_tuned(file, content)
    run = {"settings": HERE | changes, "backbone": {"fingerprint": weights}}
    tuned = tuned_methods(("ewc",), file)
    assert tuned.differences(run, images or {"digits": "a", "letters": "b"}) == told


def test_a_file_that_says_nothing_of_its_images_is_compared_by_the_streams_name(file):
    run = {"settings": HERE | {"stream": "folder:a b"}, "backbone": {"fingerprint": "w"}}
    assert tuned_methods(("ewc",), file).differences(run, {"digits": "a"}) == []
    run["settings"]["stream"] = "mini"
    assert tuned_methods(("ewc",), file).differences(run, {"digits": "a"}) == ["--stream mini instead of folder:a b"]


def test_a_folder_is_refused(tmp_path):
    assert refusal(("ewc",), tmp_path) == f"--tuned: {tmp_path} cannot be read: Is a directory"


def test_where_nothing_can_be_written_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"gone cannot be written \(No such file or directory\); make room"):
        write_tuned(tmp_path / "gone" / "tuned.json", {})
