"""The documentation builds without a warning, its links lead somewhere, and its commands do what it says.

A page's commands run in one process, one after the other, in a folder with the files that they name. Each learns less
than it normally would. For each command that does not run, the reason is given here.
"""

from __future__ import annotations

import ast
import configparser
import importlib.util
import inspect
import json
import re
import shlex
import shutil
import textwrap
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark import workers
from benchmark.backbones import backbones
from benchmark.checks.subject import MethodSubject
from benchmark.cli import about, backbones_compare, cost, reproduce, run, tune
from benchmark.cli.main import main
from benchmark.config import Settings
from benchmark.streams import streams
from methods import methods
from methods.configured import configure
from methods.memory import MemorySize
from methods.method import Method
from methods.options import construct, parse_spec

ROOT = Path(__file__).parents[1]
# The files of a kept run are no pages.
DOCS = sorted(
    path
    for path in (ROOT / "docs").rglob("*.md")
    if "_build" not in path.parts and not (path.parent / "manifest.json").exists()
)
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md", "performance/README.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *DOCS,
]

# Appended to commands: if an option is given twice, the last value counts.
SHORT_RUN = "--tasks 1 --epochs 1 --seeds 1 --orders 1 --train-images 20 --test-images 20 --image-size 32 --jobs 1"
LESS = {
    "run": SHORT_RUN,
    "backbones-compare": SHORT_RUN,
    "tune": "--tuning-tasks 1 --budget 2 --epochs 1 --train-images 20 --image-size 32",
}
# Commands that would download something, or take many seconds even on tensors without data.
INSTEAD = {
    "resnet18:weights=DEFAULT": "resnet18:until=layer1",
    **dict.fromkeys(("resnet18", "resnet50", "mobilenet_v2"), "mini"),
}

DOWNLOAD, CLUSTER, INSTALLED = (
    "downloads images or weights",
    "needs a cluster",
    "tests/test_examples.py installs the package",
)
REAL = "needs real images and weights; tests/benchmark/running/test_scenarios.py runs the scenarios"
SHOWS = "tests/benchmark/trackers reads what trackers are given"
NOT_RUN = {
    "run --methods clr,er --stream split-cifar100:tasks=20:root=/data --tasks 5": DOWNLOAD,
    "run --methods clr,er --stream avalanche:SplitTinyImageNet --tasks 5": DOWNLOAD,
    "run --methods sgd,er,joint --stream rotated-mnist --scenario domain": DOWNLOAD,
    "reproduce mammoth-split-mnist": DOWNLOAD,
    "reproduce clr-skill53": "a ResNet-50 takes many seconds; tests/benchmark/cli/test_reproduce.py runs protocols",
    "run --methods clr,norm-only,linear-probe,er,ncm,ranpac --scenario class --infer all --image-size 64 --stream "
    "folder:DIR:order=flowers5,gtsrb,scenes15,pacs_sketch,food101,sign_digits,dtd10,trashnet --epochs 5 "
    "--train-images 200 --test-images 150 --backbone resnet18:until=layer3:weights=FILE": REAL,
    "run --methods sgd,ewc,er,joint:optimizer=sgd:lr=0.03,clr,ncm --scenario domain --infer all --image-size 64 "
    "--epochs 5 --stream "
    "folder:DIR:order=pacs_photo,pacs_art,pacs_cartoon,pacs_sketch --train-images 200 --backbone "
    "resnet18:until=layer3:weights=FILE": REAL,
    "run --methods linear-probe,norm-only,lora --epochs 3 --train-images 100 --test-images 100 --stream "
    "folder:DIR:order=flowers5,gtsrb,scenes15,pacs_sketch,trashnet,dtd10 --name dino --backbone "
    "timm:vit_small_patch14_dinov2:image_size=98:weights=FILE": REAL,
    "run --methods "
    "clr,ewc,online-ewc,si,lwf,er,derpp,supsup,psp,ccll,confit,eft,sgd,sgd-ll,single-task,norm-only,linear-probe,ncm,"
    "slda,ranpac,supsup:init=pretrained:sparsity=0.7,ewc:bn=per-task "
    "--seeds 0, --tuned tuned.json --stream folder:../shared/data/tasks --backbone "
    "resnet18:until=layer3:weights=../shared/data/backbones/resnet18_to_layer3.pth --image-size 64 --train-images "
    "600 --epochs 8 --precision bf16 --infer mahalanobis --device cpu": REAL,
    "run --methods "
    "clr,single-task,norm-only,linear-probe,ncm,slda,ranpac,supsup:init=pretrained:sparsity=0.7 "
    "--seeds 0,1,2 --tuned tuned.json --stream folder:../shared/data/tasks --backbone "
    "resnet18:until=layer3:weights=../shared/data/backbones/resnet18_to_layer3.pth --image-size 64 --train-images "
    "600 --epochs 8 --infer mahalanobis --device cpu": REAL,
    "run --methods joint --seeds 0, --tuned tuned.json --stream folder:../shared/data/tasks --backbone "
    "resnet18:until=layer3:weights=../shared/data/backbones/resnet18_to_layer3.pth --image-size 64 --train-images "
    "600 --epochs 8 --precision bf16 --infer mahalanobis --device cpu": REAL,
    "tune --methods "
    "paper,single-task,joint,norm-only,linear-probe,slda,supsup:init=pretrained:sparsity=0.7,ewc:bn=per-task "
    "--budget 4 --seeds 100,101 --stream folder:../shared/data/tasks:order=dtd10,pacs_cartoon,scenes15 "
    "--tuning-tasks 3 --image-size 64 --train-images 240 --validation 25 --epochs 10 --backbone "
    "resnet18:until=layer3:weights=../shared/data/backbones/resnet18_to_layer3.pth --precision bf16 --out "
    "tuned.json": REAL,
    "run --methods paper --preset paper --stream skill53:DIR --name skill53": DOWNLOAD,
    "run --methods paper --stream torchvision:open --train-images 2560 --test-images 512 --name open": DOWNLOAD,
    "run --methods clr,ewc,er --stream torchvision:flowers102,dtd,svhn --image-size 128 --name three": DOWNLOAD,
    "backbones-compare --method clr --preset paper --stream skill53:DIR --name ssl --backbones "
    "resnet50:weights=IMAGENET1K_V1,dino_resnet50,swav_resnet50,resnet50:weights=voc.pth": DOWNLOAD,
    "run --methods paper --device cuda --gpus-per-cell 0.25": "needs a GPU",
    "run --methods paper --seeds 5 --executor ray --address auto --out /nfs/results": CLUSTER,
    "run --methods paper --seeds 5 --out /nfs/results --executor "
    "slurm:partition=gpu:gpus_per_node=1:timeout_min=600:array_parallelism=8": CLUSTER,
    "run --methods clr,sgd --tasks 2 --executor slurm:cluster=local --jobs 2 --name with-slurm": "test_slurm.py "
    "submits jobs",
    "run --methods clr,sgd --tasks 2 --executor ray --jobs 2 --name with-ray": "test_ray_cluster.py starts Ray",
    **dict.fromkeys(
        (
            "run --methods clr,er --tracker tensorboard",
            "run --methods clr,er --name mine --tracker wandb",
            "run --methods clr,er --name mine --tracker mlflow",
        ),
        SHOWS,
    ),
    **dict.fromkeys(
        (
            "pretrain --out benchmark/backbones/mini/mini.safetensors",
            "pretrain --backbone mini-vit --out benchmark/backbones/mini/mini-vit.safetensors",
        ),
        "takes many minutes; test_pretrain.py makes less",
    ),
    "methods mean-imm": INSTALLED,
    "run --methods sgd,mean-imm,mean-imm:share=0.3 --stream gratings:tasks=10 --backbone gabor": INSTALLED,
}

# How other commands begin, and what runs them.
OTHERS = {
    "python -m pytest": "this is it",
    "cp examples/method.py my_method.py": "the fixture `here`",
    "python -m venv": ".ci/run makes an environment",
    ". .venv/bin/activate": ".ci/run makes an environment",
    "ruff": ".ci/run",
    "mypy": ".ci/run",
    ".ci/run": "continuous integration",
    "sphinx-build": "the fixture `site`",
    "python scripts/": "minutes; how the shipped weights and defaults were chosen",
    "docker ": "continuous integration makes the image",
    "continual-benchmark --print-completion": "tests/benchmark/cli/test_main.py",
    "ray start": CLUSTER,
    "tensorboard": SHOWS,
    "wandb sync": SHOWS,
    "mlflow ui": SHOWS,
}

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def commands(page: Path) -> list[list[str]]:
    """The words of each command in the page's bash blocks."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    parts = (shlex.split(part, comments=True) for line in lines for part in line.split(" && "))
    return [words for words in parts if words]


def benchmark_commands(page: Path) -> list[list[str]]:
    return [words[3:] for words in commands(page) if words[:3] == ["python", "-m", "benchmark"]]


def write_images(folder: Path, count: int, colour: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.RandomState(number).randint(colour, colour + 60, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with only the files that commands name; the methods that they add are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    for registry in (methods, streams, backbones):
        monkeypatch.setattr(registry, "_entries", registry.entries())
    for task in ("birds", "signs"):
        for split, count in (("train", 8), ("test", 4)):
            for colour in (20, 120):
                write_images(tmp_path / "DIR" / task / split / f"class-{colour}", count, colour)
    write_images(tmp_path / "IMAGES", 3, 20)
    (tmp_path / "l2_anchor.py").write_text(contributed_method())
    shutil.copy(ROOT / "examples" / "method.py", tmp_path / "my_method.py")
    return tmp_path


def contributed_method() -> str:
    """The method that CONTRIBUTING.md shows."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    code = re.search(r"<!-- the tests load exactly this text -->\n```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    return code[1]


def shortened(argv: list[str]) -> list[str]:
    return [INSTEAD.get(word, word) for word in argv] + LESS.get(argv[0], "").split()


def test_there_is_something_to_check() -> None:
    named = {argv[0] for page in PAGES for argv in benchmark_commands(page)}
    assert named >= {"run", "compare", "backbones-compare", "report", "cost", "tune", "methods", "streams", "backbones"}
    assert named >= {"cache", "check", "predict", "pretrain", "reproduce"}


@by_page
def test_commands_mean_something(page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """Every option and every name in them is real."""

    def check(settings: Settings, *others: object) -> int:
        for text in settings.methods:
            configure(text, **settings.recipe)
        for registry, text in ((streams, settings.stream), (backbones, settings.backbone)):
            spec = parse_spec(text)
            construct(registry.get(spec.name), spec)
        return 0

    monkeypatch.setattr(workers, "warm_up", lambda: None)
    # Slurm's commands are not here.
    monkeypatch.setattr("shutil.which", lambda command: command)
    compare = lambda runs, *others: max(map(check, runs.values()))  # noqa: E731
    monkeypatch.setattr(backbones_compare, "compare_backbones", compare)
    several = lambda runs, *others: max(check(settings) for settings, _ in runs.values())  # noqa: E731
    monkeypatch.setattr(reproduce, "reproduce_command", several)
    monkeypatch.setattr(run, "do_run", check)
    monkeypatch.setattr(run, "exit_status", int)
    for module, name in ((cost, "cost"), (tune, "tune"), (about, "describe")):
        monkeypatch.setattr(module, f"{name}_command", check)
    for argv in benchmark_commands(page):
        made_before = ("check", "report", "watch", "compare", "predict", "export", "pretrain")
        needs_files = argv[0] in made_before or {"--tuned", "--config"} & set(argv)
        if NOT_RUN.get(shlex.join(argv)) != INSTALLED and not needs_files:
            assert main(argv) == 0, f"{shlex.join(argv)}: {capsys.readouterr().err}"


@by_page
def test_commands_run(page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for argv in benchmark_commands(page):
        if shlex.join(argv) in NOT_RUN:
            continue
        with monkeypatch.context() as quick:
            if argv[0] == "run":
                # Figures and page would take longer than all the learning; `report` makes them.
                for name in ("draw_figures", "write_page"):
                    quick.setattr(f"benchmark.report.write.{name}", lambda *arguments, **options: None)
            assert main(shortened(argv)) == 0, f"{shlex.join(argv)}: {capsys.readouterr().err}"


def test_what_is_not_run_is_in_the_documentation() -> None:
    assert NOT_RUN.keys() <= {shlex.join(argv) for page in PAGES for argv in benchmark_commands(page)}


@by_page
def test_other_commands_are_known(page: Path) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for words in commands(page):
        text = shlex.join(words)
        if words[:2] == ["pip", "install"]:
            for extra in re.findall(r"\[(\w+)\]", text):
                assert extra in setup["options.extras_require"], text
            for path in re.findall(r"(?:^|\s)(\./\S+|constraints\.txt)", text):
                assert (ROOT / path).exists(), text
        elif words[:2] == ["python", "-m"] and words[2].startswith("performance."):
            assert importlib.util.find_spec(words[2]), text
        elif words[:3] != ["python", "-m", "benchmark"]:
            assert text.startswith(tuple(OTHERS)), text
            if words[1:] and words[1].startswith("scripts/"):
                assert (ROOT / words[1]).exists(), text


def test_every_extra_is_in_the_table_of_extras() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    section = (ROOT / "docs" / "install.md").read_text().partition("## Extras\n")[2].partition("\n## ")[0]
    cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`([a-z]+)`", " ".join(cells))) == sorted(setup["options.extras_require"])


def test_the_template_has_every_hook() -> None:
    hooks = {name for name, each in vars(Method).items() if inspect.isfunction(each) and not name.startswith("_")}
    template = ast.parse((ROOT / "examples" / "method.py").read_text())
    (cls,) = (node for node in template.body if isinstance(node, ast.ClassDef))
    found = [node.name for node in cls.body if isinstance(node, ast.FunctionDef) and node.name != "__init__"]
    assert {"may_end", "forward", "after_training_exp"} <= hooks
    assert set(found) == hooks
    order = [name for name in found if name.startswith(("before_", "forward", "after_"))]
    assert order == [name for name in vars(Method) if name in order], "in the order in which they run"


@by_page
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def headings(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE))
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@by_page
def test_links_lead_to_headings_where_pages_are_read_as_files(page: Path) -> None:
    """The built site is less strict: it also knows pages that include others, and more names of a heading."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target, heading in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text):
        if not target.startswith("https://"):
            assert heading in headings(page.parent / target if target else page), f"{target}#{heading}"


def test_the_method_of_the_contributing_guide(here: Path) -> None:
    assert contributed_method().count("\n") < 40
    command = "run --plugin l2_anchor.py --methods sgd,l2-anchor:strength=1 --tasks 2 --epochs 1 --train-images 60"
    assert main([*command.split(), "--test-images", "30", "--jobs", "1", "--name", "a"]) == 0
    run = here / "results" / "a"
    summary = pd.read_csv(run / "summary.csv")
    assert summary["method"].tolist() == ["sgd", "l2-anchor:strength=1"]
    assert summary["status"].tolist() == ["succeeded", "succeeded"]
    record = json.loads((run / "cells" / "l2-anchor_strength=1" / "seed-0" / "after-2.json").read_text())
    assert record["bytes"]["memory"] == 4 * 293_912, "the anchor is counted because it is kept"


def test_the_method_that_stores_logits(here: Path, capsys: pytest.CaptureFixture) -> None:
    """It passes all checks, and a memory in bytes counts the logits."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    (text,) = (block for block in blocks if "class LogitReplay" in block)
    Path("logit_replay.py").write_text(text)
    assert main(["check", "logit_replay.py"]) == 0, capsys.readouterr()
    assert "25 of 25 checks passed" in capsys.readouterr().out
    image, widest = 3 * 8 * 8, 4
    method = methods.get("logit-replay")(memory=MemorySize(bytes=10 * (image + 4 + 4 * widest)))
    subject = MethodSubject(replace(configure("logit-replay"), options={"memory": method.memory}))
    memory = subject.learned[-1].state.memory
    assert memory["replay.logits"].shape == (10, widest)


@pytest.mark.parametrize("section", [False, True], ids=["without", "with"])
def test_a_method_of_ones_own_may_say_what_differs_from_its_paper(
    section: bool, here: Path, capsys: pytest.CaptureFixture
) -> None:
    differs = "    Differs from the paper:\n        anchor: the last task's alone,\n            for brevity.\n"
    text = contributed_method()
    end = text.index('    """\n', text.index("Args:"))
    Path("l2_anchor.py").write_text(text[:end] + ("\n" + differs) * section + text[end:])
    assert main(["check", "l2_anchor.py"]) == 0, capsys.readouterr()
    capsys.readouterr()
    assert main(["methods", "l2-anchor", "--plugin", "l2_anchor.py"]) == 0
    said = capsys.readouterr().out
    assert (textwrap.dedent(differs) in said) == section
    assert "    strength: weight of the penalty.\n" in said


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built by the command in CONTRIBUTING.md."""
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason="the extra `docs` is not installed")
    from sphinx.cmd.build import main as sphinx_build

    folder = tmp_path_factory.mktemp("docs")
    (command,) = [words for words in commands(ROOT / "CONTRIBUTING.md") if words[0] == "sphinx-build"]
    *options, source, _ = command[1:]
    assert {"-W", "--keep-going"} <= set(options), "a warning is an error"
    with warnings.catch_warnings():
        # Sphinx will remove what its extensions call one day; the extensions must change that.
        warnings.simplefilter("ignore")
        places = [str(folder / "doctrees"), str(ROOT / source), str(folder / "html")]
        assert sphinx_build([*options, "-q", "-d", *places]) == 0
    return folder / "html"


def test_every_page_is_built(site: Path) -> None:
    expected = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in DOCS}
    assert expected <= {path.relative_to(site) for path in site.rglob("*.html")}


# Methods that need nothing but their name.
DESCRIBED = tuple(name for name in methods.names() if name != "avalanche")


def test_every_method_is_described_by_its_code(site: Path) -> None:
    from bs4 import BeautifulSoup

    page = BeautifulSoup((site / "reference.html").read_text(), "html.parser")
    texts = {name: words(page.find("section", id=name).get_text()) for name in DESCRIBED}
    for name, text in texts.items():
        prose, _, sections = inspect.cleandoc(configure(name).cls.__doc__ or "").partition("\n\nArgs:\n")
        differs = "\n\n".join(("", prose, sections)).partition("\n\nDiffers from the paper:\n")[2]
        for paragraph in prose.replace("`", "").split("\n\n"):
            assert words(paragraph) in text
        # All of its items, one after the other.
        assert words(differs.replace("`", "")) in text
    assert "strength number 1 the paper's lambda. 0.1 to 100, logarithmic" in texts["ewc"]
    assert "memory 587,824 2.35 MB fisher.*, anchor.*" in texts["ewc"], "twice the parameters"
    assert "587,824 200 " in texts["ewc"], "what a task adds, in values and in % of the backbone"
    assert "Forgets nothing" in texts["clr"]
    assert f"{6 * 4 * 8 * 64:,}" in texts["lora"], "what a task adds to mini-vit"
    assert "Forgets nothing" not in texts["ewc"]


def test_who_answers_in_which_scenario_is_made_from_the_code(site: Path) -> None:
    from bs4 import BeautifulSoup

    page = BeautifulSoup((site / "scenarios.html").read_text(), "html.parser")
    headers = ["method", "task", "class", "domain"]
    (table,) = [table for table in page("table") if [cell.get_text() for cell in table("th")] == headers]
    rows = {row.td.get_text(): [cell.get_text() for cell in row("td")[1:]] for row in table("tr") if row.td}
    assert rows["er"] == ["yes", "yes", "yes"]
    guessed = "after a rule has guessed the task"
    assert rows["sgd-ll"] == ["yes", guessed, "yes"]
    (others,) = [name for name in rows if name.startswith("clr, ")]
    assert rows[others] == ["yes", guessed, guessed]
    assert rows["icarl"] == ["", "yes", ""]
    assert set(DESCRIBED) == {name for row in rows for name in row.split(", ")} & set(methods.names())


def test_which_method_works_on_which_network_is_made_from_the_code(site: Path) -> None:
    from bs4 import BeautifulSoup

    page = BeautifulSoup((site / "backbones.html").read_text(), "html.parser")
    headers = ["method", "convolutional networks", "vision transformers"]
    (table,) = [table for table in page("table") if [cell.get_text() for cell in table("th")] == headers]
    rows = {row.td.get_text(): [cell.get_text() for cell in row("td")[1:]] for row in table("tr") if row.td}
    for name in ("hat", "ccll", "confit", "eft", "bpn", "residual-adapters", "conv-lora"):
        assert rows[name] == ["yes", ""]
    (others,) = [name for name in rows if "sgd, " in name]
    assert rows[others] == ["yes", "yes"]
    assert {"supsup", "piggyback", "packnet", "psp", "ewc", "icarl"} <= set(others.split(", "))


def test_what_differs_from_the_papers_is_made_from_the_code(site: Path) -> None:
    from bs4 import BeautifulSoup

    page = BeautifulSoup((site / "methods.html").read_text(), "html.parser")
    headers = ["method", "paper", "what differs"]
    (table,) = [table for table in page("table") if [cell.get_text() for cell in table("th")] == headers]
    rows = [[cell.get_text() for cell in row("td")] for row in table("tr") if row.td]
    sections = {}
    for name in DESCRIBED:
        text = inspect.cleandoc(configure(name).cls.__doc__ or "").replace("`", "")
        if "\nDiffers from the paper:\n" in text:
            sections[name] = words(text.partition("\nDiffers from the paper:\n")[2])
    assert len(sections) > 15
    found: dict[str, list[str]] = {}
    for method, _, said in rows:
        found.setdefault(method, []).append(said)
    assert {name: " ".join(items) for name, items in found.items()} == sections
    papers = {method: paper for method, paper, _ in rows}
    assert papers["er"] == "1902.10486"
    assert papers["gdumb"] == "Prabhu et al., 2020, European Conference on Computer Vision"
    links = {link.get_text(): link["href"] for link in table("a")}
    assert links["1902.10486"] == "https://arxiv.org/abs/1902.10486"


def words(text: str) -> str:
    return " ".join(text.split())


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"(?:https?:)?//[^>]*>")
    for page in site.rglob("*.html"):
        assert fetched.findall(page.read_text()) == [], page.name
