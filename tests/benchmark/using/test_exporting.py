"""Exported networks answer as `predict` does, in a program that imports nothing of this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark import load_results
from benchmark.checks.tiny import three_tasks
from benchmark.cli.main import main
from benchmark.using import exporting
from benchmark.using import program as making

TASKS = three_tasks()

# Runs the code of the cards, and then asks each file about the same images. Only torch can be imported.
_IN_TORCH = """
import json, os, sys
import torch
torch.set_num_threads(1)
images = torch.load("images.pt")
found = {}
for name in ("psp.pt2", "ncm.pt2", "third.pt2"):
    extra = {"card.json": ""}
    program = torch.export.load(name, extra_files=extra).module()
    found[name] = {"card": json.loads(extra["card.json"]), "logits": program(images), "one": program(images[:1])}
card = json.load(open("all/card.json"))
program = torch.export.load("all/trunk.pt2").module()
own = {task["name"]: torch.load("all/" + task["file"], weights_only=True) for task in card["tasks"]}
found["all"] = {"card": card, "logits": {name: program(images, tensors) for name, tensors in own.items()}}
torch.save(found, "found.pt")
def usage(card):
    return open(card).read().partition("```python\\n")[2].partition("```")[0]
exec(usage("ncm.pt2.md"))
os.chdir("all")
exec(usage("README.md"))
assert not {"benchmark", "methods", "baselines"} & {name.partition(".")[0] for name in sys.modules}
"""
_IN_ONNX = """
import json, sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession("a.onnx", providers=["CPUExecutionProvider"])
np.save("logits.npy", session.run(["logits"], {"images": np.load("images.npy")})[0])
exec(open("a.onnx.md").read().partition("```python\\n")[2].partition("```")[0])
assert not {"benchmark", "methods", "torch"} & {name.partition(".")[0] for name in sys.modules}
print(json.dumps(card))
"""


def alone(code: str) -> list[str]:
    """The lines that a program prints which runs here, where this project cannot be imported."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


IMAGES = torch.cat([task.test.images for task in TASKS]).contiguous()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    """An empty folder."""
    monkeypatch.chdir(tmp_path)


@dataclass
class Found:
    """What one program has found that imports only torch.

    Attributes:
        answers: file -> its card, and its logits for IMAGES.
        said: what the code of the cards prints.
        folder: of the files.
    """

    answers: dict[str, Any]
    said: list[str]
    folder: Path


@pytest.fixture(scope="module")
def found(tasked: Path, classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        torch.save(IMAGES, "images.pt")
        assert main(["export", str(tasked), "--method", "psp", "--task", TASKS[1].name, "--out", "psp.pt2"]) == 0
        assert main(["export", str(classes), "--method", "ncm", "--out", "ncm.pt2"]) == 0
        assert main(["export", str(classes), "--method", "ncm", "--task", TASKS[2].name, "--out", "third.pt2"]) == 0
        assert main(["export", str(tasked), "--method", "clr", "--all-tasks", "--out", "all"]) == 0
        said = alone(_IN_TORCH)
    return Found(torch.load(folder / "found.pt"), said, folder)


def same_as_predict(logits: torch.Tensor, run: Path, method: str, **asked: str) -> None:
    predictor = load_results(run).predictor(method, **asked)
    found = predictor(IMAGES)
    confidence, columns = logits.softmax(1).max(1)
    firsts = np.cumsum([0, *predictor.learned.widths])
    wanted = found["class"].to_numpy(int) + (0 if asked else firsts[found["task"].to_numpy(int) - 1])
    assert columns.tolist() == wanted.tolist()
    np.testing.assert_allclose(confidence.numpy(), found["confidence"].to_numpy(float), rtol=1e-5)


def accuracy_of(run: Path, method: str, task: str, answer: str) -> float:
    table = load_results(run).accuracy.query("learned == 3 and order == 0")
    return table.query("method == @method and task_name == @task and answer == @answer")["accuracy"].item()


def test_a_program_answers_without_this_project(tasked: Path, found: Found, one_thread: None) -> None:
    task, own = TASKS[1], found.answers["psp.pt2"]
    same_as_predict(own["logits"], tasked, "psp", task=task.name)
    assert not own["logits"].requires_grad
    torch.testing.assert_close(own["one"], own["logits"][:1])
    card = own["card"]
    (entry,) = card["tasks"]
    assert (entry["name"], entry["classes"], entry["first_logit"]) == (task.name, list(task.classes), 0)
    assert (card["method"], card["data"], card["backbone"], card["seed"]) == ("psp", "tiny", "mini", 0)
    assert entry["test_accuracy"] == accuracy_of(tasked, "psp", task.name, "task")
    assert set(card["licence"]) == {"program", "data", "backbone_weights"}
    text = (found.folder / "psp.pt2.md").read_text()
    assert text.count("(fill in)") == 3
    assert f"| {100 * entry['test_accuracy']:.1f} |" in text


def test_one_head_for_all_classes(classes: Path, found: Found, one_thread: None) -> None:
    every, third = found.answers["ncm.pt2"], found.answers["third.pt2"]
    same_as_predict(every["logits"], classes, "ncm")
    assert [entry["first_logit"] for entry in every["card"]["tasks"]] == [0, 3, 5]
    same_as_predict(third["logits"], classes, "ncm", task=TASKS[2].name)
    for own, answer in ((every, "class"), (third, "derived")):
        wanted = accuracy_of(classes, "ncm", TASKS[2].name, answer)
        assert own["card"]["tasks"][-1]["test_accuracy"] == wanted


def test_one_trunk_and_small_parts(tasked: Path, found: Found, one_thread: None) -> None:
    own = found.answers["all"]
    assert list(own["logits"]) == [task.name for task in TASKS]
    for task in TASKS:
        same_as_predict(own["logits"][task.name], tasked, "clr", task=task.name)
    trunk = (found.folder / "all" / "trunk.pt2").stat().st_size
    assert all((found.folder / "all" / task["file"]).stat().st_size < trunk / 10 for task in own["card"]["tasks"])
    # 9 values for each channel of a 3x3 convolution, batch normalisation, and the head.
    kernels = sum(tensor.numel() for name, tensor in _part(found, own, 0).items() if ".clr." in name)
    assert kernels
    assert kernels % 9 == 0


def _part(found: Found, own: dict[str, Any], number: int) -> dict[str, torch.Tensor]:
    return torch.load(found.folder / "all" / own["card"]["tasks"][number]["file"], weights_only=True)


def test_the_code_on_the_cards_runs(found: Found) -> None:
    one, *each = found.said
    assert one.split()[0] in [task.name for task in TASKS]
    assert [line.split()[0] for line in each] == [task.name for task in TASKS]
    assert all(0 < float(line.split()[-1]) <= 1 for line in found.said)


def test_onnx(tasked: Path, here: None) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="the extra onnx is not installed")
    np.save("images.npy", IMAGES.numpy())
    assert main(["export", str(tasked), "--method", "clr", "--task", TASKS[0].name, "--out", "a.onnx"]) == 0
    said, card = alone(_IN_ONNX)
    same_as_predict(torch.from_numpy(np.load("logits.npy")), tasked, "clr", task=TASKS[0].name)
    assert said.startswith(TASKS[0].name)
    assert json.loads(card)["tasks"][0]["classes"] == list(TASKS[0].classes)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("clr --out a.pt2", "clr has a network for each task: give --task with one of "),
        ("clr --task gone --out a.pt2", "--task gone is no task of "),
        (
            "clr --task TASK --out a.bin",
            "--out a.bin: the ending says the form; give a file that ends in .pt2 or .onnx",
        ),
        ("clr --task TASK --out gone/a.pt2", "--out: there is no folder gone; make it, or write elsewhere"),
        ("clr --task TASK --all-tasks --out a", "and --all-tasks both say what is exported; give one of them"),
        ("clr --all-tasks --out .", "--out: . exists; with --all-tasks give the name of a new folder"),
        ("er --task TASK --out a.pt2", "--method er is none of the methods of "),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(
    words: str, sentence: str, tasked: Path, here: None, capsys: pytest.CaptureFixture
) -> None:
    given = [TASKS[0].name if word == "TASK" else word for word in words.split()]
    before = sorted(Path().iterdir())
    assert main(["export", str(tasked), "--method", *given]) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert sorted(Path().iterdir()) == before


def test_all_tasks_need_something_shared(
    classes: Path, learn, tmp_path: Path, here: None, capsys: pytest.CaptureFixture
) -> None:
    assert main(["export", str(classes), "--method", "ncm", "--all-tasks", "--out", "all"]) == 2
    assert "--all-tasks: one network of ncm answers for all tasks; leave the option out" in capsys.readouterr().err
    run = learn(tmp_path / "single", "single-task")
    assert main(["export", str(run), "--method", "single-task", "--all-tasks", "--out", "all"]) == 2
    assert "are of its task alone, which leaves too little for a trunk" in capsys.readouterr().err
    assert not Path("all").exists()


def test_a_program_that_answers_otherwise_is_not_written(
    tasked: Path, here: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    right = exporting.export

    def wrong(learned, module):
        made = right(learned, module)
        # A program has its own head.
        module.network.heads.bias = torch.nn.Parameter(module.network.heads.bias + 1)
        return made

    monkeypatch.setattr(exporting, "export", wrong)
    assert main(["export", str(tasked), "--method", "clr", "--task", TASKS[0].name, "--out", "a.pt2"]) == 2
    assert "the program of clr answers otherwise than its network" in capsys.readouterr().err
    monkeypatch.setattr(exporting, "export", right)
    monkeypatch.setattr(making.torch.export, "export", lambda *arguments, **options: 1 / 0)
    assert main(["export", str(tasked), "--method", "clr", "--task", TASKS[0].name, "--out", "a.pt2"]) == 2
    sentence = (
        "error: export: torch.export cannot make a program of clr on mini (ZeroDivisionError: division by zero); "
    )
    assert sentence in capsys.readouterr().err
    assert not Path("a.pt2").exists()
