"""--config: options in a file, and the file in a run's folder that repeats it."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark import UserError, load_results
from benchmark import run as run_in_python
from benchmark.cli.main import main, parse
from benchmark.config import PRESETS, Execution, Settings
from benchmark.running.config_file import CONFIG_NAME, config_text
from benchmark.running.request import requested
from benchmark.storage.folder import RunFolder
from methods import methods
from methods.options import parse_spec

PLUGIN = """
from baselines.shared.finetuning import FineTuning
from methods import methods

@methods.register("plain")
class Plain(FineTuning):
    \"\"\"Fine-tuning by another name.\"\"\"
"""

SMALL = "--tasks 2 --train-images 20 --test-images 10 --epochs 1 --batch-size 8 --image-size 16 --jobs 1 --device cpu"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_report: None, one_thread: None) -> Path:
    """Commands run in an empty folder; methods that plugins add are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))
    return tmp_path


def meant(command: str) -> tuple[Settings, Execution]:
    return requested(vars(parse(command.split())))[:2]


def write(text: str, name: str = "mine.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(command: str, capsys: pytest.CaptureFixture) -> str:
    assert main(command.split()) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    return printed.err.removeprefix("error: ").strip()


def test_a_run_is_repeated_from_its_own_file(here: Path, exact: Callable[[Path], dict[str, str]]):
    """With a preset, a plugin, tuned options, two seeds and two orders."""
    (here / "plain.py").write_text(PLUGIN)
    command = f"run {SMALL} --methods clr,plain:lr=0.05 --preset paper --backbone mini --seeds 4,7 --orders 2"
    assert (
        main([*command.split(), *["--augment", "flip", "--plugin", "plain.py", "--name", "first", "--out", "there"]])
        == 0
    )
    first = here / "there" / "first"
    content = tomllib.loads((first / CONFIG_NAME).read_text())
    assert content["methods"] == ["clr", "plain:lr=0.05"]
    assert (content["optimizer"], content["schedule"], content["lr"]) == ("adam", "step", 1e-3)
    assert (content["seeds"], content["orders"], content["plugin"]) == ([4, 7], 2, ["plain.py"])
    assert content.keys().isdisjoint({"name", "out", "preset", "tuned", "config"})

    assert main(["run", "--config", str(first / CONFIG_NAME)]) == 0
    (second,) = (here / "results").iterdir()
    assert exact(second) == exact(first)
    assert (second / CONFIG_NAME).read_bytes() == (first / CONFIG_NAME).read_bytes()
    old, new = (RunFolder(run).read_manifest() for run in (first, second))
    assert new["settings"] == old["settings"]
    assert new["command"] == ["run", "--config", str(first / CONFIG_NAME)]

    # Under its name it goes on, and has nothing to do.
    records = {path: path.read_bytes() for path in first.glob("cells/**/after-*.json")}
    assert main(["run", "--config", str(first / CONFIG_NAME), "--name", "first", "--out", "there"]) == 0
    assert {path: path.read_bytes() for path in first.glob("cells/**/after-*.json")} == records


def test_tuned_options_are_those_of_the_methods(here: Path):
    entry = {"best": "sgd:lr=0.2", "accuracy": 0.5, "default_accuracy": 0.25, "trials": []}
    content = {"settings": {}, "stream": {}, "backbone": {}, "methods": {"sgd": entry}}
    (here / "tuned.json").write_text(json.dumps(content))
    assert main(f"run {SMALL} --tasks 1 --methods sgd --tuned tuned.json --name a".split()) == 0
    (here / "tuned.json").unlink()
    assert meant(f"run --config results/a/{CONFIG_NAME}")[0].methods == ("sgd:lr=0.2",)


def test_python_writes_and_reads_the_file_too(here: Path, exact: Callable[[Path], dict[str, str]]):
    options = {"tasks": 1, "train_images": 20, "test_images": 10, "epochs": 1, "image_size": 16, "jobs": 1}
    first = run_in_python(iter(["linear-probe"]), seeds=iter([3]), name="first", device="cpu", **options).path
    assert load_results("first").manifest["command"][:4] == [
        *("run", "--methods=linear-probe", "--stream=mini", "--seeds=3,"),
    ]
    second = run_in_python(config=first / CONFIG_NAME, name="second").path
    assert exact(second) == exact(first)
    assert load_results("second").manifest["command"] == [
        *("run", f"--config={first / CONFIG_NAME}", "--name=second"),
    ]
    with pytest.raises(UserError, match="run: give methods, as methods="):
        run_in_python(epochs=1)


def test_a_file_that_is_there_stays_as_it_is(here: Path):
    command = f"run {SMALL} --tasks 1 --methods linear-probe --name a".split()
    assert main(command) == 0
    path = here / "results" / "a" / CONFIG_NAME
    before = path.read_bytes()
    assert main([*command, "--keep-states"]) == 0
    assert path.read_bytes() == before
    path.unlink()
    assert main(command) == 0
    assert path.read_bytes() == before, "an older version wrote none"


def test_all_settings_come_back(here: Path):
    (here / "p.py").write_text("")
    odd = 'folder:a "b"\\c#é😀:order=x,y'
    settings = Settings(
        methods=(parse_spec("er:memory=10MB"), parse_spec("clr")),
        stream=parse_spec(odd),
        backbone=parse_spec("resnet18:until=layer3"),
        **{"tasks": 3, "image_size": 64, "train_images": 100, "test_images": 50, "epochs": 2, "batch_size": 16},
        **{"lr": 1e-5, "optimizer": "adam", "schedule": "cosine", "seeds": (9,), "orders": 2, "device": "cpu"},
        **{"augment": ("crop", "flip"), "precision": "bf16", "compile": True, "memory_format": "contiguous"},
        equal_memory=parse_spec("clr"),
        equal_compute=parse_spec("sgd"),
    )
    execution = Execution(jobs=2, gpus_per_cell=0.25, parallel_tasks=False, keep_states=True, plugins=("p.py",))
    write(config_text(settings, execution))
    assert meant("run --config mine.toml") == (settings, execution)
    plain = Settings(methods=(parse_spec("clr"),)), Execution()
    write(config_text(*plain))
    assert meant("run --config mine.toml") == plain


def test_the_command_line_wins_over_the_file_and_that_over_the_preset(here: Path):
    write('methods = ["clr", "er"]\npreset = "paper"\nbackbone = "mini"\nlr = 0.5\nepochs = 3\ncompile = true\n')
    settings, _ = meant("run --config mine.toml --epochs 8 --no-compile")
    assert (settings.epochs, settings.compile) == (8, False), "even if it is the default"
    assert (settings.lr, settings.backbone, settings.methods) == (0.5, "mini", ("clr", "er"))
    assert (settings.optimizer, settings.image_size) == ("adam", PRESETS["paper"]["image_size"])
    assert meant("run --methods sgd --config mine.toml")[0].methods == ("sgd",)


@pytest.mark.parametrize(
    ("text", "seeds"), [("seeds = 3", (0, 1, 2)), ("seeds = [4, 7]", (4, 7)), ('seeds = "4,7"', (4, 7))]
)
def test_lists_are_lists_or_texts_with_commas(text: str, seeds: tuple[int, ...], here: Path):
    write(f'{text}\nmethods = "paper,er:memory=5"\naugment = ["flip"]\nbatch_size = 16\n')
    settings, _ = meant("run --config mine.toml")
    assert (settings.seeds, settings.augment, settings.batch_size) == (seeds, ("flip",), 16)
    assert (settings.methods[0], settings.methods[-1]) == ("clr", "er:memory=5")


def test_editors_of_windows(here: Path):
    (here / "mine.toml").write_bytes(b"\xef\xbb\xbfmethods = ['clr']\r\nepochs = 2\r\n")
    assert meant("run --config mine.toml")[0].epochs == 2


VALID = "valid are methods, stream, backbone, scenario, infer, tasks, "


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("epoch = 3", f"--config mine.toml has an unknown option 'epoch': did you mean 'epochs'? {VALID}"),
        ("batch_sizes = 3", "--config mine.toml has an unknown option 'batch_sizes': did you mean 'batch-size'? valid"),
        ("zzz = 3", f"--config mine.toml has an unknown option 'zzz': {VALID}"),
        ("[run]\nepochs = 3", "--config mine.toml has an unknown option 'run': "),
        ('config = "other.toml"', "--config mine.toml has an unknown option 'config': "),
        ("batch-size = 8\nbatch_size = 8", "--config mine.toml gives 'batch-size' twice; give it once"),
        ('epochs = "3"', '--config mine.toml: epochs = "3" must be a whole number'),
        ("epochs = true", "--config mine.toml: epochs = true must be a whole number"),
        ("epochs = 2.5", "--config mine.toml: epochs = 2.5 must be a whole number"),
        ("epochs = {a = 1}", "--config mine.toml: epochs = {'a': 1} must be a whole number"),
        ("lr = 1979-05-27", "--config mine.toml: lr = datetime.date(1979, 5, 27) must be a number"),
        ('device = "tpu"', '--config mine.toml: device = "tpu" must be one of auto, cpu, cuda'),
        ("methods = [1]", "--config mine.toml: methods = [1] must be text in quotes or a list of such texts"),
        ("seeds = [1, 1.5]", "--config mine.toml: seeds = [1, 1.5] must be a whole number or a list of them"),
        (f'lr = "{"x" * 99}"', f'--config mine.toml: lr = "{"x" * 56}... must be a number'),
        ("epochs = 0", "--epochs 0 must be at least 1"),
        ("lr = nan", "--lr nan must be a number above 0"),
        ("seeds = []", "--seeds  is neither how many seeds (3) nor a list of them (4,7)"),
        ('methods = ["clrr"]', "unknown method 'clrr': did you mean 'clr'?"),
        ('plugin = "gone.py"', "--plugin: there is no file gone.py"),
        ("epochs = ", "--config: mine.toml is damaged, or is not TOML: TOMLDecodeError: Invalid value (at "),
        ("epochs = 1\nepochs = 2", "--config: mine.toml is damaged, or is not TOML: TOMLDecodeError: Cannot overwrite"),
        ('{"epochs": 3}', "--config: mine.toml is damaged, or is not TOML: "),
        (f"epochs = {'[' * 5000}", "--config: mine.toml is damaged, or is not TOML: RecursionError"),
        (f"epochs = {'9' * 5000}", "--config: mine.toml is damaged, or is not TOML: ValueError"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(content: str, says: str, capsys: pytest.CaptureFixture, here: Path):
    write(content)
    given = "" if content.startswith("methods") else "--methods clr"
    assert refusal(f"run {given} --config mine.toml", capsys).startswith(says)


def test_a_file_that_is_none(capsys: pytest.CaptureFixture, here: Path):
    said = "--config: there is no file gone.toml; each run has one, results/<run>/config.toml"
    assert refusal("run --config gone.toml", capsys) == said
    (here / "folder").mkdir()
    said = "--config: folder is a folder; give a file, as folder/config.toml"
    assert refusal("run --config folder", capsys) == said
    assert refusal(f"run --config {'x' * 300}", capsys).endswith("(File name too long); give another one")


def test_methods_have_to_come_from_somewhere(capsys: pytest.CaptureFixture, here: Path):
    write("epochs = 1")
    with pytest.raises(SystemExit) as stopped:
        main(["run", "--config", "mine.toml"])
    assert stopped.value.code == 2
    assert "the following arguments are required: --methods" in capsys.readouterr().err


def test_other_commands_have_files_of_their_options(here: Path):
    write('methods = "clr"\ntasks = 5\nepochs = 2\nimage-size = 32\n')
    cost = parse(["cost", "--config", "mine.toml", "--epochs", "3"])
    assert (cost.methods, cost.tasks, cost.epochs, cost.image_size, cost.classes) == ("clr", 5, 3, 32, 10)
    write('methods = ["clr"]\nbudget = 4\nout = "found.json"\n')
    tune = parse(["tune", "--config", "mine.toml"])
    assert (tune.methods, tune.budget, tune.out, tune.tuning_tasks) == (["clr"], 4, "found.json", 3)
    write('method = "clr"\nbackbones = "mini,resnet18"\nlr = 0.1\n')
    compared = parse(["backbones-compare", "--config", "mine.toml"])
    assert (compared.method, compared.backbones, compared.lr) == ("clr", "mini,resnet18", 0.1)
    with pytest.raises(UserError, match="has an unknown option 'methods': did you mean 'method'"):
        parse(["backbones-compare", "--config", str(write('methods = "clr"'))])


def test_a_repeated_run_needs_no_more_than_the_file(here: Path):
    """The folder of the first run may be gone."""
    assert main(f"run {SMALL} --tasks 1 --methods linear-probe --name a".split()) == 0
    shutil.copy(here / "results" / "a" / CONFIG_NAME, here / "kept.toml")
    shutil.rmtree(here / "results")
    assert main(["run", "--config", "kept.toml", "--name", "again"]) == 0
    assert load_results("again").manifest["status"] == "succeeded"
