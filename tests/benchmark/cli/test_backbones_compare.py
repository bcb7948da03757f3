"""`backbones-compare` as its user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark.backbones.mini.network import MiniResNet
from benchmark.cli.main import main

COMMAND = "backbones-compare --method linear-probe --jobs 1 --stream folder:tasks --epochs 1 --image-size 16"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stream of two tasks and a file of weights."""
    place = tmp_path_factory.mktemp("place")
    random = np.random.RandomState(0)
    for task in ("one", "two"):
        for colour, name in ((20, "dark"), (160, "light")):
            for split, count in (("train", 8), ("test", 4)):
                folder = place / "tasks" / task / split / name
                folder.mkdir(parents=True)
                for number in range(count):
                    pixels = random.randint(colour, colour + 60, (16, 16, 3)).astype(np.uint8)
                    Image.fromarray(pixels).save(folder / f"{number}.png")
    torch.manual_seed(1)
    torch.save(MiniResNet().state_dict(), place / "other.pth")
    return place


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def run(backbones: str, *more: str) -> int:
    return main([*COMMAND.split(), "--backbones", backbones, *more])


def test_each_backbone_is_a_run_and_the_table_is_made_of_them(place, capsys, monkeypatch, quick_report):
    assert run("mini, mini:weights=other.pth,mini:weights=random", "--name", "all") == 0
    printed = capsys.readouterr().out
    assert "[2/3] mini:weights=other.pth, pretraining: other.pth" in printed
    folder = place / "results" / "all"
    frame = pd.read_csv(folder / "backbones.csv")
    assert frame["backbone"].tolist() == ["mini", "mini:weights=other.pth", "mini:weights=random"]
    assert frame["pretraining"].tolist() == ["generated fractals", "other.pth", "none"]
    for name, row in zip(("mini", "mini_weights=other.pth", "mini_weights=random"), frame.itertuples(), strict=True):
        summary = pd.read_csv(folder / name / "summary.csv")
        assert summary["average_accuracy"].tolist() == [row.average_accuracy]
        manifest = json.loads((folder / name / "manifest.json").read_text())
        assert manifest["settings"]["methods"] == ["linear-probe"]
        assert manifest["settings"]["backbone"] == manifest["backbone"]["spec"] == row.backbone
    prints = {json.loads(path.read_text())["backbone"]["fingerprint"] for path in folder.glob("*/manifest.json")}
    assert len(prints) == 3

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("what is done is not done again")

    monkeypatch.setattr("benchmark.running.executors.cell_learner.learn", refuse)
    before = (folder / "backbones.csv").read_bytes()
    assert run("mini,mini:weights=other.pth,mini:weights=random", "--name", "all") == 0
    assert (folder / "backbones.csv").read_bytes() == before


def test_ctrl_c_ends_all_of_them_and_says_how_to_go_on(place, monkeypatch, capsys):
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.running.executors.cell_learner.learn", interrupted)
    assert run("mini,mini:weights=random", "--name", "stopped") == 130
    folder = place / "results" / "stopped"
    assert not (folder / "mini_weights=random").exists()
    assert not (folder / "backbones.csv").exists()
    said = capsys.readouterr().err
    assert said.endswith(
        f"Go on with: python -m benchmark {COMMAND} --backbones mini,mini:weights=random --name stopped\n"
    )


PLUGIN = """
from methods import Method, methods

@methods.register("picky")
class Picky(Method):
    \"\"\"Fails on some backbones.\"\"\"
    def part(self, module, name):
        return "shared"
    def before_backward(self, strategy, **kwargs):
        if strategy.model.backbone.conv1.weight.count_nonzero() == 0:
            raise RuntimeError("not this one")
"""


def test_a_failure_is_a_row_and_the_others_go_on(place, capsys, quick_report):
    weights = MiniResNet().state_dict()
    weights["conv1.weight"] = torch.zeros_like(weights["conv1.weight"])
    torch.save(weights, place / "zero.pth")
    (place / "picky.py").write_text(PLUGIN)
    command = COMMAND.replace("linear-probe", "picky") + " --plugin picky.py --name failing"
    assert main([*command.split(), "--backbones", "mini:weights=zero.pth,mini"]) == 1
    frame = pd.read_csv(place / "results" / "failing" / "backbones.csv")
    assert frame["status"].tolist() == ["failed", "succeeded"]
    assert frame["average_accuracy"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("backbones", "more", "says"),
    [
        ("mini", "", "--backbones mini must be a list of two or more, each given once"),
        ("mini,,mini", "", "--backbones mini,,mini must be a list of two or more, each given once"),
        ("mini,resnet19", "", "unknown backbone 'resnet19': did you mean 'resnet1"),
        ("mini,mini:weights=no.pth", "", "--backbone: there is no weights file no.pth"),
        ("mini,mini:cut=3", "", "'mini:cut=3' has no option 'cut': valid options of mini are weights"),
        ("mini,mini:weights=random", "--method clr,ewc", "--method clr,ewc must be a single method, as clr"),
        ("mini,mini:weights=random", "--method paper", "--method paper must be a single method, as clr"),
        ("mini,mini:weights=random", "--method clrr", "unknown method 'clrr': did you mean 'clr'?"),
        (
            "mini-vit,mini",
            "--method lora --image-size 32",
            "--backbones mini: lora cannot be used on this backbone",
        ),
        ("mini,mini-vit", "--image-size 64", "--image-size 64: backbone mini-vit takes only images of 32x32; leave "),
        ("mini,mini:weights=random", "--name a/b", "--name a/b: write a folder's name of letters, digits and "),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_learned(capsys, monkeypatch, backbones, more, says):
    monkeypatch.setattr("benchmark.running.executors.cell_learner.learn", None)
    assert run(backbones, *more.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {says}")
    assert said.count("\n") == 1
