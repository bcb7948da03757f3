"""The command line as its user meets it: what cannot be used is one sentence, and a run leaves every file behind."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark.backbones import backbones
from benchmark.backbones.mini.network import MiniResNet
from benchmark.cli.main import main
from benchmark.results.schema import (
    ACCURACY_COLUMNS,
    CLASS_COLUMNS,
    COMPUTE_COLUMNS,
    EFFICIENCY_COLUMNS,
    PAIR_COLUMNS,
    PARAMETER_COLUMNS,
    RANK_COLUMNS,
    SUMMARY_COLUMNS,
    TASK_COLUMNS,
)
from benchmark.storage.tuned import write_tuned
from benchmark.streams import streams
from methods import methods

ROOT = Path(__file__).parents[3]

# A method that can be told to fail, and things that are none.
PLUGIN = """
from pathlib import Path
from methods import Method, methods

@methods.register("fragile")
class Fragile(Method):
    \"\"\"Fails in training while a file lies beside it.\"\"\"
    def part(self, module, name):
        return "shared"
    def before_backward(self, strategy, **kwargs):
        if Path(__file__).with_name("fail").exists():
            raise RuntimeError("out of luck")

@methods.register("pathological")
class Pathological(Method):
    \"\"\"Takes any text.\"\"\"
    def __init__(self, text: str = ""):
        super().__init__()
        self.text = text

@methods.register("not-a-method")
class NotAMethod:
    \"\"\"Only registered.\"\"\"
"""


def write_images(folder: Path, count: int, colour: int) -> None:
    folder.mkdir(parents=True)
    random = np.random.RandomState(colour)
    for number in range(count):
        pixels = random.randint(colour, colour + 60, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def write_task(folder: Path, classes: tuple[str, ...] = ("dark", "light"), train: int = 8) -> None:
    for index, name in enumerate(classes):
        write_images(folder / "train" / name, train, 20 + 100 * index)
        write_images(folder / "test" / name, 4, 21 + 100 * index)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good and bad streams, weights and plugins."""
    place = tmp_path_factory.mktemp("place")
    write_task(place / "good" / "one")
    write_task(place / "good" / "two", ("dark", "light", "very-light"))
    write_task(place / "single" / "task", ("only",))
    write_task(place / "empty" / "task")
    for path in (place / "empty" / "task" / "train" / "dark").iterdir():
        path.unlink()
    write_task(place / "broken" / "task")
    (place / "broken" / "task" / "train" / "dark" / "3.png").write_bytes(b"no picture")
    (place / "nothing").mkdir()
    (place / "file").write_text("text")
    (place / "plugin.py").write_text(PLUGIN)
    (place / "bad_plugin.py").write_text("import no_such_module\n")
    weights = MiniResNet().state_dict()
    del weights["layer2.0.bn1.bias"]
    torch.save(weights, place / "lacking.pth")
    (place / "junk.pth").write_bytes(b"")
    (place / "hollow").mkdir()
    (place / "hollow" / "manifest.json").write_text("{}")
    return place


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in that folder; methods that plugins add are forgotten afterwards."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))


RUN = "run --jobs 1 --stream folder:good --epochs 1 --image-size 16 --device cpu"


@pytest.fixture(scope="module")
def finished(place: Path) -> Path:
    """The folder of a finished run of two methods and two tasks."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(place)
        assert main(f"{RUN} --methods clr,sgd:lr=0.01 --name finished".split()) == 0
    return place / "results" / "finished"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("run --methods clrr", "unknown method 'clrr': did you mean 'clr'? known are clr, clr-full, clr-mixed, sgd, "),
        ("run --methods clr --stream minni", "unknown stream 'minni': did you mean 'mini'? known are mini, folder, "),
        ("run --methods clr --backbone resnet19", "unknown backbone 'resnet19': did you mean 'resnet1"),
        (
            "run --methods clr:penlty=1",
            "'clr:penlty=1' has no option 'penlty': did you mean 'penalty'? valid options of clr are penalty, "
            "optimizer, lr, momentum, weight_decay, clip, schedule, warmup_epochs, layer_decay, patience, keep\n",
        ),
        ("run --methods ewc:strength=x", "'ewc:strength=x': option strength=x is not a number\n"),
        ("run --methods ewc:strength=nan", "'ewc:strength=nan': option strength=nan is not a finite number\n"),
        ("run --methods clr:lr=0", "'clr:lr=0': lr=0 must be above 0\n"),
        ("run --methods clr:3", "'clr:3': '3' is not of the form option=value; valid options of clr are penalty, "),
        ("run --methods ,", "--methods names no method; write for example --methods clr,ewc,er\n"),
        ("run --methods clr,clr", "--methods gives 'clr' twice; give each specification once\n"),
        ("run --methods clr --stream folder:", "'folder:' needs DIR: write folder:DIR\n"),
        ("run --methods clr --stream folder:gone", "there is no folder gone; folder:DIR needs one that holds a folder"),
        ("run --methods clr --stream folder:file", "file is a file; folder:DIR needs a folder"),
        ("run --methods clr --stream folder:nothing", "nothing holds no task; it needs a folder or a zip per task\n"),
        ("run --methods clr --stream folder:good:ordr=a", "'folder:good:ordr=a' has no option 'ordr': did you mean 'o"),
        ("run --methods clr --stream folder:single", "task 'task' has 1 class; a task needs at least 2\n"),
        (
            "run --methods clr --stream folder:empty",
            "task 'task': class 'dark' has no training images; each class needs at least 2\n",
        ),
        (
            "run --methods clr --stream folder:broken",
            "broken/task/train/dark/3.png is not an image of a format that is read (JPEG, PNG, ",
        ),
        ("run --methods clr --backbone resnet18:until=nope", "--backbone: resnet18 has no module 'nope' to cut at; "),
        ("run --methods clr --backbone mini:weights=gone.pth", "--backbone: there is no weights file gone.pth\n"),
        (
            "run --methods clr --backbone mini:weights=lacking.pth",
            "--backbone: lacking.pth does not fit: it lacks 'layer2.0.bn1.bias', which the network has\n",
        ),
        (
            "run --methods clr --backbone mini:weights=junk.pth",
            "--backbone: junk.pth cannot be read as a file of weight",
        ),
        (f"{RUN} --methods clr --backbone vgg11", "--image-size 16 does not suit the backbone, try a larger one: "),
        ("run --methods clr --seeds many", "--seeds many is neither how many seeds (3) nor a list of them (4,7)\n"),
        ("run --methods clr --seeds 12345", "--seeds 12345 is more than 1000 seeds; to name one seed, write 12345,\n"),
        ("run --methods er,clr --equal-memory clrr", "unknown method 'clrr': did you mean 'clr'? known are clr, "),
        (
            "run --methods clr,sgd --equal-memory clr",
            "--equal-memory clr sizes replay memories, and none of --methods has one; add a method that has, as er, ",
        ),
        (
            f"{RUN} --methods er --equal-memory sgd",
            "--equal-memory sgd: beside heads and stored images, the state of sgd does not grow with the stream; name ",
        ),
        ("run --methods clr --batch-size 1", "--batch-size 1 must be at least 2: batch normalisation cannot train"),
        ("run --methods clr --epochs 0", "--epochs 0 must be at least 1\n"),
        ("run --methods clr --lr 0", "--lr 0 must be a number above 0\n"),
        ("run --methods clr --lr nan", "--lr nan must be a number above 0\n"),
        ("run --methods clr --device cuda", "--device cuda: torch sees no GPU here; use --device cpu, or auto\n"),
        (
            "run --methods clr --device mps",
            "--device mps: torch sees no GPU of Apple's (Metal) here; use --device cpu, or auto\n",
        ),
        ("run --methods clr --name a/b", "--name a/b: write a folder's name of letters, digits and . , = + - _ only\n"),
        ("run --methods clr --name ..", "--name ..: write a folder's name of letters, digits and . , = + - _ only\n"),
        (f"{RUN} --methods clr --out file", "--out: file/folder-mini-"),
        (f"{RUN} --methods clr --out . --name file", "--out: file cannot be made: File exists\n"),
        (
            f"{RUN} --methods clr --out . --name hollow",
            "hollow/manifest.json is not the manifest of a run; give the fol",
        ),
        (f"{RUN} --methods clr --tasks 3", "--tasks 3: folder:good has only 2\n"),
        (
            f"{RUN} --methods clr --train-images 5",
            "--train-images 5: task 'two' has 3 classes and needs at least 6, 2 per class\n",
        ),
        ("run --methods clr --image-size 4", "--image-size 4: images need at least 8 pixels a side\n"),
        ("run --methods clr --plugin gone.py", "--plugin: there is no file gone.py\n"),
        ("run --methods clr --plugin file", "--plugin: file is not a Python file; its name must end in .py\n"),
        (
            "run --methods clr --plugin bad_plugin.py",
            "--plugin: bad_plugin.py does not import: ModuleNotFoundError: No module named 'no_such_module' "
            "(bad_plugin.py, line 1)\n",
        ),
        (
            "run --methods not-a-method --plugin plugin.py",
            "method 'not-a-method' is no subclass of methods.Method; derive it from that class\n",
        ),
        (
            "run --methods paper:lr=1",
            "--methods: 'paper:lr=1' gives options to a group; give them to a method, as in paper,er:memory=1000\n",
        ),
        (
            "run --methods clr --tuned gone.json",
            "--tuned: there is no file gone.json; `python -m benchmark tune` makes",
        ),
        ("run --methods clr --tuned file", "--tuned: file is damaged: Expecting value: line 1 column 1 (char 0)\n"),
        (
            "run --methods clr --tuned hollow/manifest.json",
            "--tuned: hollow/manifest.json is no file of `python -m ben",
        ),
        ("run --methods clr --tuned file --lr 1", "--lr and --tuned both say how the methods are trained; give one"),
        (
            "run --methods pathological:text=a/b,pathological:text=a?b --plugin plugin.py",
            "--methods: 'pathological:text=a/b' and 'pathological:text=a?b' would share a folder; run one of ",
        ),
        ("report gone", "report: there is no run folder gone; give its path, or its name in results/\n"),
        ("report good", "good is not a run folder: it holds no manifest.json\n"),
        ("report hollow", "hollow/manifest.json is not the manifest of a run; give the folder of a run\n"),
        ("cost --methods clrr", "unknown method 'clrr': did you mean 'clr'? known are clr, "),
        ("cost --methods clr --classes 1", "--classes 1 must be at least 2\n"),
        ("cost --methods clr --image-size 7", "--image-size 7 must be at least 8\n"),
        (
            "cost --methods clr --backbone vgg11 --image-size 16",
            "--image-size 16 does not suit the backbone, try a lar",
        ),
        ("cost --methods paper,paper", "--methods gives 'paper' twice; give each specification once\n"),
        ("tune --methods clrr --budget 2", "unknown method 'clrr': did you mean 'clr'? known are clr, "),
        ("tune --methods clr --budget 0", "--budget 0 must be at least 1\n"),
        ("tune --methods clr --budget 2 --tuning-tasks 0", "--tuning-tasks 0 must be at least 1\n"),
        (
            f"tune --methods clr --budget 2 --seed {10**299}",
            "--seed: a number of 300 digits is no seed; ",
        ),
        (
            f"run --methods clr --seeds {10**299},",
            "--seeds: a number of 300 digits is no seed; ",
        ),
        (f"run --methods clr --seeds 9{5000 * '0'},", "--seeds "),
        ("run --methods clr --orders 1000000000", "--orders 1000000000: with 1 of --methods and 1 of --seeds "),
        ("tune --methods clr --budget 2 --seed -1", "--seed: -1 is no seed; write a whole number from 0 "),
        (
            "tune --methods clr --budget 2 --out gone/t.json",
            "--out: there is no folder gone; make it, or write elsewhe",
        ),
        ("tune --methods clr --budget 2 --out good", "--out: good is a folder; give the name of a file\n"),
        ("methods clrr", "unknown method 'clrr': did you mean 'clr'? known are clr, "),
        (
            "methods clr:penlty=1",
            "'clr:penlty=1' has no option 'penlty': did you mean 'penalty'? valid options of clr ",
        ),
        ("methods clr --backbone resnet19", "unknown backbone 'resnet19': did you mean 'resnet1"),
        (
            "methods --backbone mini",
            "--backbone says on which network to describe one method; write methods NAME --backbone SPEC\n",
        ),
        ("pretrain --out gone/w.safetensors", "--out: there is no folder gone; make it, or write elsewhere\n"),
        ("pretrain --out good", "--out: good is a folder; give the name of a file\n"),
        ("methods --plugin bad_plugin.py", "--plugin: bad_plugin.py does not import: "),
    ],
)
def test_what_cannot_be_used_is_one_sentence(command, says, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(command.split()) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {says}")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("walk", "argument COMMAND: invalid choice: 'walk'"),
        ("run", "the following arguments are required: --methods"),
        ("tune --methods clr", "the following arguments are required: --budget"),
        ("run --methods clr --epochs x", "argument --epochs: invalid int value: 'x'"),
        ("run --methods clr --device tpu", "argument --device: invalid choice: 'tpu'"),
        ("run --methods clr --epoch-size 3", "unrecognized arguments: --epoch-size 3"),
        ("run --methods clr --grayrange 1", "unrecognized arguments: --grayrange 1: did you mean --grey-range?"),
        ("run --methods clr --Grey_Range=0,1", "--Grey_Range=0,1: did you mean --grey-range?"),
        ("streams mini --gray-range 0,1", "unrecognized arguments: --gray-range 0,1: did you mean --grey-range?"),
        (
            "cost --methods clr --stream folder:DIR",
            "--stream folder:DIR: cost takes the numbers of a stream; `run --dry",
        ),
        ("predict mine a.png --method clr --grey-range 0,9", "--grey-range 0,9: predict reads images and answers as "),
        ("watch mine more", "unrecognized arguments: more;"),
    ],
)
def test_arguments_that_cannot_be_parsed(command, says, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(command.split())
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.startswith("error: ")
    assert said.endswith(" --help tells all\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("--lr 0.5", "--lr (default), not 0.5"),
        ("--epochs 2", "--epochs 1, not 2"),
        ("--seeds 1,2", "--seeds 0, not 1,2"),
        ("--equal-compute clr", "--equal-compute (default), not clr"),
        ("--train-images 12", "--train-images (default), not 12"),
        ("--methods sgd", "--methods clr,sgd:lr=0.01, not sgd"),
        ("--backbone mini:weights=random", "--backbone mini, not mini:weights=random"),
    ],
)
def test_a_run_goes_on_under_the_same_settings_only(finished, change, says, capsys):
    before = (finished / "manifest.json").read_bytes()
    assert main(f"{RUN} --methods clr,sgd:lr=0.01 --name finished {change}".split()) == 2
    assert capsys.readouterr().err == (
        f"error: --name finished: that run exists with {says}; give the same settings to resume it, or another --name\n"
    )
    assert (finished / "manifest.json").read_bytes() == before


def test_a_run_does_not_go_on_with_other_images(finished, place, capsys):
    picture = place / "good" / "one" / "train" / "dark" / "0.png"
    content = picture.read_bytes()
    try:
        Image.new("RGB", (16, 16)).save(picture)
        assert main(f"{RUN} --methods clr,sgd:lr=0.01 --name finished".split()) == 2
    finally:
        picture.write_bytes(content)
    assert capsys.readouterr().err == (
        "error: --name finished: that run exists, but what folder:good holds has changed since; "
        "restore the stream, or give another --name\n"
    )


TOO_LONG = 128 * "ä"  # 256 bytes
DEEP = "/".join(1500 * ["deep"])


@pytest.mark.parametrize("path", [TOO_LONG, 300 * "x", DEEP, f"{TOO_LONG}/below", "loop", "loop/below"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("run --methods clr --out {}", "--out: "),
        ("run --methods clr --out . --name {}", "--name"),
        ("run --methods clr --plugin {}", "--plugin: "),
        ("run --methods clr --tuned {}", "--tuned: "),
        ("run --methods clr --stream folder:{}", "--stream: "),
        ("run --methods clr --stream skill53:{}", "--stream: "),
        ("run --methods clr --stream torchvision:digits:root={}", ""),
        ("run --methods clr --backbone mini:weights={}.pth", ""),
        ("run --methods clr --backbone resnet18:weights={}.pth", ""),
        ("tune --methods clr --budget 1 --out {}", "--out: "),
        ("pretrain --out {}", "--out: "),
        ("report {}", "report: "),
        ("compare {} other", "compare: "),
    ],
)
def test_a_path_that_the_file_system_cannot_have_is_one_sentence(tmp_path, monkeypatch, capsys, command, option, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    assert main(command.format(path).split()) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {option}")
    assert said.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["loop"]


@pytest.mark.parametrize("text", ["a\0b", "caf\udce9", "\ud800"])
@pytest.mark.parametrize(
    "command", ["run --methods clr --out", "run --methods", "report", "compare a", "run --methods clr --plugin"]
)
def test_what_is_no_text_is_refused(tmp_path, monkeypatch, capsys, command, text):
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), text]) == 2
    shown = ascii(text)[1:-1]
    assert capsys.readouterr().err == (
        f"error: {shown} is not text in UTF-8 without NUL characters; write or rename it so\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    ["run --methods linear-probe", "backbones-compare --method linear-probe --backbones mini,mini:weights=random"],
)
@pytest.mark.parametrize("names", [[".draft.tmp"], [".lock", ".holder"], [".cells.9.tmp", "deep/.manifest.json.7.tmp"]])
def test_a_folder_of_the_user_is_left_as_it_is(tmp_path, monkeypatch, capsys, command, names):
    monkeypatch.chdir(tmp_path)
    for name in names:
        path = tmp_path / "mine" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(name)
    assert main([*command.split(), "--out", ".", "--name", "mine"]) == 2
    said = capsys.readouterr().err
    assert "error: --name mine: mine holds files that are not of a run, as " in said
    assert {str(path.relative_to("mine")) for path in Path("mine").rglob("*") if path.is_file()} == set(names)
    assert all((tmp_path / "mine" / name).read_text() == name for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_dry_run_says_what_the_run_would_take_and_leaves_nothing(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert main(f"{RUN} --methods clr,ncm --seeds 3 --name dry --dry-run".split()) == 0
    said = capsys.readouterr().out
    assert "What it takes here (3 repetitions, one cell at a time): plain fine-tuning was timed at " in said
    assert "6 cells: 2 methods, 3 repetitions, 2 tasks each." in said
    assert main(f"{RUN} --methods clr --name dry --dry-run".split()) == 0
    assert "\n1 cell: 1 method, 1 repetition, 2 tasks each.\n" in capsys.readouterr().out
    assert not (place / "results" / "dry").exists()
    # What a run refuses, this refuses.
    assert main(f"{RUN} --methods clr --reference er --dry-run".split()) == 2


# The files of a cell for each task.
PER_TASK = {"after": "json", "task": "safetensors", "answers": "safetensors"}


def test_a_run_leaves_every_file_behind(finished):
    names = sorted(str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file())
    cell = [f"{name}-{task}.{kind}" for task in (1, 2) for name, kind in PER_TASK.items()]
    tables = ("accuracy", "summary", "parameters", "compute", "efficiency", "tasks", "classes", "ranks", "statistics")
    figures = ("accuracy_matrix", "accuracy_vs_compute", "accuracy_vs_parameters", "average_accuracy", "stored")
    assert names == sorted(
        [
            *(f"{name}.csv" for name in tables),
            *("summary.md", "summary.tex", "manifest.json", "config.toml", "run.log", "report.html"),
            *(f"figures/{name}.{kind}" for name in (*figures, "first_task_accuracy") for kind in ("svg", "png")),
            *(f"test-images/task-{task}.json" for task in (1, 2)),
            "test-images/thumbnails.json",
            *(f"cells/clr/seed-0/{name}" for name in cell),
            *(f"cells/sgd_lr=0.01/seed-0/{name}" for name in (*cell, "shared-2.safetensors")),
        ]
    )


def test_the_tables_of_a_run(finished):
    tables = {path.stem: pd.read_csv(path) for path in finished.glob("*.csv")}
    assert {name: tuple(table.columns) for name, table in tables.items()} == {
        "accuracy": (*ACCURACY_COLUMNS, "answer"),
        "summary": SUMMARY_COLUMNS,
        "parameters": PARAMETER_COLUMNS,
        "compute": COMPUTE_COLUMNS,
        "efficiency": EFFICIENCY_COLUMNS,
        "tasks": TASK_COLUMNS,
        "classes": tuple(name for name in CLASS_COLUMNS if name != "order"),
        "ranks": RANK_COLUMNS,
        "statistics": PAIR_COLUMNS,
    }
    labels = ["clr", "sgd:lr=0.01"]
    assert all(tables[name]["method"].tolist() == labels for name in ("summary", "parameters", "compute"))
    assert tables["summary"]["status"].tolist() == ["succeeded", "succeeded"]
    assert tables["summary"]["forgetting"][0] == 0
    assert tables["tasks"][["task_name", "classes", "test_images"]].to_numpy().tolist() == [
        ["one", 2, 8],
        ["two", 3, 12],
    ]
    rows = tables["accuracy"][["method", "learned", "task", "images"]].to_numpy().tolist()
    assert rows == [[label, i, j, 4 + 4 * j] for label in labels for i, j in ((1, 1), (2, 1), (2, 2))]
    assert tables["compute"]["evaluations"].tolist() == [2, 3]
    assert tables["compute"]["normalized_compute"].round(2).tolist()[1] == 1


def test_the_manifest_of_a_run(finished, place):
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["status"] == "succeeded"
    assert manifest["command"] == f"{RUN} --methods clr,sgd:lr=0.01 --name finished".split()
    assert manifest["settings"]["methods"] == ["clr", "sgd:lr=0.01"]
    assert manifest["seeds"] == [0]
    assert [(c["method"], c["seed"], c["status"], c["cause"]) for c in manifest["cells"]] == [
        ("clr", 0, "succeeded", None),
        ("sgd:lr=0.01", 0, "succeeded", None),
    ]
    assert manifest["versions"]["torch"] == metadata.version("torch")
    assert manifest["finished"] >= manifest["started"]
    assert str(place) not in json.dumps(manifest), "only what the user typed"


def test_report_makes_the_same_files_again(finished, capsys):
    made = [path for path in finished.iterdir() if path.suffix in (".csv", ".md", ".tex")]
    before = {path: path.read_bytes() for path in made}
    for path in [*made, finished / "report.html"]:
        path.unlink()
    assert main(["report", "finished"]) == 0
    assert {path: path.read_bytes() for path in made} == before
    assert (finished / "report.html").read_text().startswith("<!")
    assert "report.html are in results/finished" in capsys.readouterr().out


def test_report_shows_the_seconds_of_cells_that_ran_side_by_side_if_it_is_asked(finished):
    manifest, before = finished / "manifest.json", (finished / "manifest.json").read_text()
    assert [process["workers"] for process in json.loads(before)["processes"]] == [1]
    tables, raw = [], (finished / "compute.csv").read_text()
    manifest.write_text(before.replace('"workers": 1', '"workers": 2'))
    # What was asked is kept.
    for command in ("report finished", "report finished --seconds", "report finished"):
        assert main(command.split()) == 0
        tables.append("Training (s)" in (finished / "summary.md").read_text())
        assert ("Training (s)" in (finished / "report.html").read_text()) == tables[-1]
        assert (finished / "compute.csv").read_text() == raw
    assert tables == [False, True, True]
    manifest.write_text(before)
    main(["report", "finished"])


def test_a_finished_run_is_not_trained_again(finished, capsys, monkeypatch):
    monkeypatch.setattr("benchmark.running.executors.cell_learner.learn", lambda *arguments: pytest.fail("it was"))
    before = (finished / "summary.csv").read_bytes()
    assert main(f"{RUN} --methods clr,sgd:lr=0.01 --name finished".split()) == 0
    assert (finished / "summary.csv").read_bytes() == before
    assert "Accuracy after the whole stream" in capsys.readouterr().out


def test_a_method_that_fails_does_not_stop_the_others_and_is_tried_again(place, capsys):
    command = f"{RUN} --methods fragile,linear-probe --name luck --plugin plugin.py".split()
    run = place / "results" / "luck"
    (place / "fail").write_text("")
    assert main(command) == 1
    assert "fragile, seed 0 failed: RuntimeError: out of luck" in capsys.readouterr().err
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "failed"
    assert [(cell["status"], cell["cause"]) for cell in manifest["cells"]] == [
        ("failed", "RuntimeError: out of luck, in before_backward (plugin.py, line 12)"),
        ("succeeded", None),
    ]
    assert "in before_backward" in manifest["cells"][0]["traceback"]
    assert pd.read_csv(run / "summary.csv")["status"].tolist() == ["failed", "succeeded"]
    assert set(pd.read_csv(run / "accuracy.csv")["method"]) == {"linear-probe"}
    assert "out of luck" in (run / "report.html").read_text()

    finished_before = (run / "cells" / "linear-probe" / "seed-0" / "after-2.json").read_bytes()
    (place / "fail").unlink()
    assert main(command) == 0
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "succeeded"
    assert [cell["cause"] for cell in manifest["cells"]] == [None, None]
    assert pd.read_csv(run / "summary.csv")["status"].tolist() == ["succeeded", "succeeded"]
    assert (run / "cells" / "linear-probe" / "seed-0" / "after-2.json").read_bytes() == finished_before


def test_an_interrupted_run_says_how_to_go_on(place, capsys, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.running.executors.cell_learner.learn", interrupted)
    assert main(f"{RUN} --methods clr --out elsewhere".split()) == 130
    (run,) = (place / "elsewhere").iterdir()
    said = f"python -m benchmark {RUN} --methods clr --out elsewhere --name {run.name}\n"
    assert capsys.readouterr().err.endswith(f"interrupted; finished tasks are kept. Go on with: {said}")


def test_cost_needs_no_data(capsys):
    command = "cost --methods clr,sgd --tasks 2 --images 8 --image-size 32 --backbone resnet18"
    assert main(command.split()) == 0
    printed = capsys.readouterr()
    (clr,) = [line.split() for line in printed.out.splitlines() if line.startswith("clr") and "54,336" in line]
    assert clr[1:4] == ["11,176,512", "54,336", "0.486"]
    assert printed.err == ""


@pytest.mark.parametrize(
    ("command", "registry"), [("methods", methods), ("streams", streams), ("backbones", backbones)]
)
def test_everything_is_listed_one_line_each(command, registry, capsys):
    assert main([command]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        *([name, registry.summary(name)] for name in registry.names()),
        *([name, f"group: {registry.summary(name)}"] for name in registry.groups()),
    ]


def test_members_of_a_group_are_listed(capsys):
    assert main(["methods", "paper"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert lines == [[name, methods.summary(name)] for name in methods.members("paper")]


def test_a_method_that_needs_a_transformer_is_described_on_one(capsys):
    assert main(["methods", "lora:rank=2"]) == 0
    assert "Cost: backbone mini-vit, 8 tasks of 10 classes" in capsys.readouterr().out
    assert main(["methods", "lora:rank=2", "--backbone", "mini"]) == 2
    assert "lora cannot be used on this backbone" in capsys.readouterr().err


def test_a_method_is_described(capsys):
    assert main(["methods", "sgd:bn=frozen", "--backbone", "resnet18:until=layer1"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("sgd:bn=frozen\n\nFine-tune everything on each task in turn")
    assert "Cost: backbone resnet18:until=layer1, 8 tasks of 10 classes" in printed.out
    assert printed.err == ""


def test_a_run_of_a_group_of_tuned_methods_says_what_was_run(place, monkeypatch):
    monkeypatch.setitem(methods._groups, "two", replace(methods._groups["all"], members=("linear-probe", "sgd-ll")))
    content = {"settings": {}, "stream": {}, "backbone": {}, "methods": {}}
    for label, best in (("linear-probe", "linear-probe:lr=0.2"), ("sgd-ll", "sgd-ll")):
        content["methods"][label] = {"best": best, "accuracy": None, "default_accuracy": None, "trials": []}
    write_tuned(place / "tuned.json", content)
    assert main(f"{RUN} --methods sgd-ll,two --name tuned --tuned tuned.json".split()) == 0
    run, labels = place / "results" / "tuned", ["sgd-ll", "linear-probe:lr=0.2"]
    assert json.loads((run / "manifest.json").read_text())["settings"]["methods"] == labels
    assert pd.read_csv(run / "summary.csv")["method"].tolist() == labels


def test_a_run_says_where_its_options_come_from(place, capsys):
    content = {
        "settings": {"stream": "elsewhere", "epochs": 3, "seeds": [100, 0]},
        "stream": {"spec": "elsewhere"},
        "backbone": {},
        "methods": {
            "sgd-ll": {
                "best": "sgd-ll:lr=0.2",
                "accuracy": 0.5,
                "default_accuracy": 0.4,
                "trials": [{"params": {}, "value": 0.5, "diverged": False}] * 4,
            }
        },
    }
    write_tuned(place / "tuned.json", content)
    digest = hashlib.sha256((place / "tuned.json").read_bytes()).hexdigest()
    command = f"{RUN} --methods sgd-ll --name origin --tuned tuned.json".split()
    assert main(command) == 0
    told = ["--stream folder:good instead of elsewhere", "--epochs 1 instead of 3"]
    assert [line for line in capsys.readouterr().err.splitlines() if "--tuned" in line] == [
        f"warning: --tuned tuned.json: this run has {told[0]}, {told[1]}; other options may be better here",
        "warning: --tuned tuned.json: its options were chosen with seed 0 too; report other --seeds",
    ]
    manifest = place / "results" / "origin" / "manifest.json"
    origin = json.loads(manifest.read_bytes())["tuned"]
    assert origin == {
        "file": "tuned.json",
        "sha256": digest,
        "settings": content["settings"],
        "stream": {"spec": "elsewhere"},
        "backbone": {},
        "differences": told,
        "methods": {"sgd-ll:lr=0.2": {"tuned_as": "sgd-ll", "accuracy": 0.5, "trials": 4}},
    }
    # It goes on although the file has grown, and keeps saying with what it began.
    content["methods"]["clr"] = content["methods"]["sgd-ll"] | {"best": "clr"}
    write_tuned(place / "tuned.json", content)
    assert main(command) == 0
    assert json.loads(manifest.read_bytes())["tuned"] == origin


def test_tune_without_optuna_is_one_sentence(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["tune", "--methods", "clr", "--budget", "2"]) == 2
    expected = 'error: tune needs Optuna, which is not installed; install it with: pip install ".[tune]"\n'
    assert capsys.readouterr().err == expected


def test_methods_of_plugins_are_listed_too(capsys):
    assert main(["methods", "--plugin", "plugin.py"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert ["fragile", "Fails in training while a file lies beside it."] in lines


@pytest.mark.parametrize(
    "command",
    [
        "",
        "run",
        "backbones-compare",
        "cost",
        "tune",
        "report",
        "compare",
        "methods",
        "streams",
        "backbones",
        "pretrain",
    ],
)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m benchmark {command}".rstrip())


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [("tu", "tune"), ("run --scenar", "--scenario"), ("run --scenario d", "domain"), ("methods --backb", "--backbone")],
)
def test_a_shell_completes_commands_options_and_values(capsys, words, completed):
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "bash"])
    assert ended.value.code == 0
    line = f"continual-benchmark {words}"
    script = f"{capsys.readouterr().out}\nCOMP_WORDS=({line}); COMP_CWORD={len(words.split())}\n"
    script += '_shtab_continual_benchmark; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [completed]


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"continual-benchmark {metadata.version('continual-benchmark')}\n"


def test_help_imports_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-m", "benchmark", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "benchmark.cli.main" in imported
    assert imported.isdisjoint({"torch", "torchvision", "avalanche", "numpy", "pandas", "matplotlib"})
