"""Runs kept in docs/results/: what is kept agrees with itself, names nothing private, and is what pages show."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark import load_results
from benchmark.cli.main import main
from benchmark.config import RUN_OPTIONS
from benchmark.report.latex import to_latex
from benchmark.report.markdown import to_markdown
from benchmark.report.tables import display_tables
from benchmark.results.run import read
from benchmark.storage.folder import RunFolder
from benchmark.storage.manifest import Manifest
from benchmark.storage.processes import difference_note
from methods.errors import UserError

RESULTS = Path(__file__).parents[1] / "docs" / "results"
COMMITTED = sorted(path.parent for path in RESULTS.glob("*/manifest.json"))

METHODS = ("clr", "er:memory=20", "sgd")
LEARN = f"run --methods {','.join(METHODS)} --tasks 2 --epochs 1 --train-images 40 --test-images 20 --infer mahalanobis"

# The most that the files of a kept run may have together: 24 tasks, 20 methods and 3 seeds take 1.3 MB.
MOST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def keeper(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("keep_run")


@pytest.fixture(scope="module")
def pager(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("docs_tables")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two tasks and two seeds. It has no page, and its figures are drawn when it is kept."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as quick:
        for name in ("draw_figures", "draw_oracle_gap", "write_page"):
            quick.setattr(f"benchmark.report.write.{name}", lambda *arguments, **options: None)
        assert main([*LEARN.split(), "--seeds", "4,7", "--jobs", "1", "--out", str(out), "--name", "mine"]) == 0
    return out / "mine"


@pytest.fixture(scope="module")
def kept(keeper: ModuleType, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That run as it is kept."""
    results = tmp_path_factory.mktemp("docs") / "results"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keeper, "RESULTS", results)
        assert keeper.main([str(run), "small"]) == 0
    return results / "small"


@pytest.fixture
def copy(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "copy"))


@pytest.fixture(params=["made here", *(path.name for path in COMMITTED)])
def each(request: pytest.FixtureRequest) -> Path:
    """Each kept run: a small one, and all that are committed."""
    return request.getfixturevalue("kept") if request.param == "made here" else RESULTS / request.param


def read_csv(folder: Path, name: str) -> pd.DataFrame:
    text = dict.fromkeys(("method", "task_name", "answer"), str)
    return pd.read_csv(folder / f"{name}.csv", dtype=text, keep_default_na=False, na_values=[""])


def test_a_kept_run_has_tables_figures_settings_and_a_manifest_and_nothing_else(each: Path) -> None:
    files = {str(path.relative_to(each)): path for path in each.rglob("*") if path.is_file()}
    # What `report` makes beside them is left out by .gitignore.
    files = {name: path for name, path in files.items() if path.suffix != ".png" and name != "report.html"}
    tables = {
        f"{name}.csv"
        for name in ("accuracy", "summary", "parameters", "compute", "efficiency", "tasks", "ranks", "statistics")
    }
    assert tables | {"manifest.json", "summary.md", "summary.tex"} <= files.keys()
    assert {path.suffix for path in files.values()} <= {".csv", ".json", ".md", ".svg", ".tex", ".toml"}
    assert {Path(name).parent.name for name in files} == {"", "figures"}, "no cells, and no images of the data"
    assert sum(path.stat().st_size for path in files.values()) < MOST_BYTES


def test_nothing_names_a_folder_of_a_machine_or_an_address(each: Path) -> None:
    for path in each.rglob("*"):
        if path.suffix in (".csv", ".json", ".md", ".svg", ".tex", ".toml"):
            found = re.findall(
                r"(?<![\w./:<])(?:~|[A-Z]:)?[/\\]{1,2}(?:home|root|tmp|Users|mnt|data)\b.*", path.read_text()
            )
            assert found == [], path.name
    manifest = json.loads((each / "manifest.json").read_text())
    commands = [manifest["command"], *(process["command"] for process in manifest["processes"])]
    given = {word.partition("=")[0] for command in commands for word in command}
    assert not given & {"--out", "--name", "--address", "--jobs", "--executor"}


def test_the_run_succeeded_and_says_what_it_is(each: Path) -> None:
    manifest = json.loads((each / "manifest.json").read_text())
    assert manifest["status"] == "succeeded"
    assert {cell["status"] for cell in manifest["cells"]} == {"succeeded"}
    assert manifest["finished"] >= manifest["started"]
    assert manifest["kept"] is True
    assert manifest["versions"]["torch"]
    assert manifest["hardware"]["machine"]
    assert manifest["processes"][0]["device"] in ("cpu", "cuda")


def check_summary(folder: Path) -> None:
    """Compute summary.csv again from accuracy.csv and the tables of costs, without any code of the project."""
    manifest = json.loads((folder / "manifest.json").read_text())
    summary, accuracy = read_csv(folder, "summary"), read_csv(folder, "accuracy")
    parameters, compute = (read_csv(folder, name).set_index("method") for name in ("parameters", "compute"))
    tasks = len(manifest["tasks"])
    if "order" not in accuracy:
        accuracy["order"] = 0
    for row in summary.to_dict("records"):
        own = accuracy[(accuracy["method"] == row["method"]) & (accuracy["answer"] == row["answer"])]
        figures = []
        for _, cell in own.groupby(["seed", "order"]):
            R = cell.pivot_table("accuracy", "learned", "task")
            last, before = R.loc[tasks], range(1, tasks)
            figures.append(
                {
                    "average_accuracy": last.mean(),
                    "first_task_accuracy": last[1],
                    "forgetting": np.mean([R.loc[j : tasks - 1, j].max() - last[j] for j in before]),
                    "backward_transfer": np.mean([last[j] - R.loc[j, j] for j in before]),
                }
            )
        found = pd.DataFrame(figures)
        assert len(found) == row["seeds"], "as many cells as the summary counts"
        for name in found:
            assert found[name].mean() == pytest.approx(row[name], abs=1e-12), (row["method"], name)
        if len(manifest["orders"]) == 1 and len(found) > 1:
            low, high = stats.t.interval(0.95, len(found) - 1, found["average_accuracy"].mean(), 1)
            half = (high - low) / 2 * found["average_accuracy"].std(ddof=1) / np.sqrt(len(found))
            assert half == pytest.approx(row["average_accuracy_ci95"], abs=1e-12)
        costs = parameters.loc[row["method"]]
        extra = 100 * costs["extra_parameters_per_task"] / costs["backbone_parameters"]
        assert extra == pytest.approx(row["extra_parameters_percent"])
        assert costs["backbone_parameters"] == manifest["backbone"]["parameters"]
        assert row["stored_percent"] == pytest.approx(100 * row["stored_bytes"] / manifest["backbone"]["bytes"])
        flops = sum(task["sgd_flops"] for task in manifest["tasks"])
        assert row["normalized_compute"] == pytest.approx(compute.loc[row["method"], "training_flops"] / flops)
    methods = list(dict.fromkeys(cell["method"] for cell in manifest["cells"]))
    assert list(dict.fromkeys(summary["method"])) == methods
    assert read_csv(folder, "tasks")["task_name"].tolist() == [task["task_name"] for task in manifest["tasks"]]


def test_the_summary_follows_from_the_other_tables(each: Path) -> None:
    check_summary(each)


@pytest.mark.parametrize("table", ["accuracy", "parameters", "summary"])
def test_a_number_that_was_changed_is_found(copy: Path, table: str) -> None:
    frame = read_csv(copy, table)
    column = {"accuracy": "accuracy", "parameters": "extra_parameters_per_task", "summary": "forgetting"}[table]
    frame[column] = frame[column].astype(float)
    frame.loc[frame.index[-1], column] += 0.25
    frame.to_csv(copy / f"{table}.csv", index=False)
    with pytest.raises(AssertionError):
        check_summary(copy)


def test_its_tables_to_paste_are_those_of_its_csv_files(each: Path) -> None:
    results = read(RunFolder(each))
    note = difference_note(results.manifest)
    for name, render, mark in (("summary.md", to_markdown, ""), ("summary.tex", to_latex, "% ")):
        text = render(display_tables(results), results.statistics) + (f"\n{mark}{note}\n" if note else "")
        assert (each / name).read_text() == text, f"python -m benchmark report {each}"


def shows(svg: Path, label: str) -> bool:
    """Whether a label is in a figure, whole or with parts left out."""
    texts = ("".join(element.itertext()) for element in ET.parse(svg).iter() if element.tag.endswith("}text"))
    patterns = (".*".join(map(re.escape, text.split("…"))) for text in texts if text.strip("…"))
    return any(re.fullmatch(pattern, label) for pattern in patterns)


def test_its_figures_show_its_methods_and_their_accuracies(each: Path) -> None:
    """The heights of the points in the figure, on its own scale, are the accuracies in the CSV files."""
    manifest = json.loads((each / "manifest.json").read_text())
    methods = list(dict.fromkeys(cell["method"] for cell in manifest["cells"]))
    for name in (
        "average_accuracy",
        "first_task_accuracy",
        "accuracy_vs_parameters",
        "accuracy_vs_compute",
        "accuracy_matrix",
    ):
        assert all(shows(each / "figures" / f"{name}.svg", method) for method in methods), name
    drawn, low, high = heights(each / "figures" / "accuracy_vs_parameters.svg")
    accuracies = 100 * np.array(list(accuracies_to_draw(each, len(methods))))
    # A pixel of the scale is some hundredths of a percent.
    np.testing.assert_allclose(sorted(drawn), sorted(accuracies), atol=2e-3 * (high - low))


def accuracies_to_draw(folder: Path, methods: int) -> Iterator[float]:
    """Of each method the main answer, its repetitions if they are fewer than five, and the other answer.

    The other answer is the first with the task oracle, if the main one is without, or the other way round.
    """
    summary, accuracy = read_csv(folder, "summary"), read_csv(folder, "accuracy")
    oracle = summary["answer"].isin(["task", "derived"])
    for number, row in summary[:methods].iterrows():
        yield row["average_accuracy"]
        own = accuracy[(accuracy["method"] == row["method"]) & (accuracy["answer"] == row["answer"])]
        repetitions = own[own["learned"] == own["learned"].max()].groupby("seed")["accuracy"].mean()
        if 1 < len(repetitions) < 5:
            yield from repetitions
        others = summary[(summary["method"] == row["method"]) & (oracle != oracle[number])]
        yield from others["average_accuracy"][:1]


def heights(svg: Path) -> tuple[list[float], float, float]:
    """The values of the markers on the y axis, and the lowest and the highest tick."""
    root = ET.parse(svg).getroot()
    groups = {element.get("id", ""): element for element in root.iter() if element.tag.endswith("}g")}
    ticks = []
    for name, group in groups.items():
        if name.startswith("ytick"):
            (text,) = ("".join(element.itertext()) for element in group.iter() if element.tag.endswith("}text"))
            ticks.append((float(uses(group)[0].get("y", "")), float(text)))
    (y0, value0), (y1, value1) = ticks[0], ticks[-1]
    (axes,) = (group for name, group in groups.items() if name == "axes_1")
    marks = [use for child in axes if child.get("id", "").startswith("line2d") for use in uses(child)]
    values = [value0 + (float(use.get("y", "")) - y0) * (value1 - value0) / (y1 - y0) for use in marks]
    return values, value0, value1


def uses(group: ET.Element) -> list[ET.Element]:
    return [element for element in group.iter() if element.tag.endswith("}use")]


def test_pages_show_the_kept_runs_as_they_are_and_their_commands(pager: ModuleType) -> None:
    for page in pager.pages():
        text = page.read_text(encoding="utf-8")
        assert pager.filled(text) == text, f"{page.name}: run python scripts/docs_tables.py"
        for name, parts in pager.runs_shown(text).items():
            assert "command" in parts, f"{page.name} shows {name}, and not how it was made"
        for name in re.findall(r"\]\((?:\.\./|docs/)?results/([^)/]+)/figures/", text):
            assert name in pager.runs_shown(text), f"{page.name} shows figures of {name}, and not how it was made"


def test_a_kept_run_is_read_as_the_run_itself(run: Path, kept: Path) -> None:
    """But for the recall of each class and the guesses of each repetition, which are not kept."""
    before, after = load_results(run), load_results(kept)
    for name in ("summary", "other_answers", "inference", "accuracy", "parameters", "compute", "efficiency", "tasks"):
        pd.testing.assert_frame_equal(getattr(after, name), getattr(before, name))
    assert after.summary["expected_calibration_error"].notna().all(), "although no answer is kept"
    assert after.statistics.verdict == before.statistics.verdict
    for name in ("summary.csv", "inference.csv"):
        assert (kept / name).read_bytes() == (run / name).read_bytes()
    # The share of tasks guessed right is known, but not its lowest and highest repetition. The columns of summary.tex
    # are as wide as their texts, so that others may follow below.
    text, found = re.subn(r"(mahalanobis [|] [\d.]+) \([^)]*\)", r"\1", (run / "summary.md").read_text())
    assert found == len(METHODS)
    results = read(RunFolder(kept))
    with_seconds = replace(results, manifest=Manifest({**results.manifest, "show_seconds": True}))
    assert to_markdown(display_tables(with_seconds), results.statistics) == text
    assert "Training (s)" in text
    assert "Training (s)" not in (kept / "summary.md").read_text(), "nobody knows what else the machine did"
    assert after.classes.empty


def test_a_table_from_before_a_column_was_added_is_still_read(copy: Path) -> None:
    read_csv(copy, "parameters").drop(columns="stored_percent").to_csv(copy / "parameters.csv", index=False)
    found = load_results(copy)
    assert found.parameters["stored_percent"].isna().all()
    assert found.parameters["stored_bytes"].notna().all()


def test_report_makes_its_derived_files_again_and_leaves_its_tables(kept: Path, copy: Path) -> None:
    for path in (copy / "summary.md", copy / "summary.tex", copy / "figures" / "average_accuracy.svg"):
        path.write_text("old")
    assert main(["report", str(copy)]) == 0
    for path in kept.rglob("*"):
        if path.is_file():
            assert (copy / path.relative_to(kept)).read_bytes() == path.read_bytes()
    assert (copy / "report.html").is_file()
    assert not (copy / "classes.csv").exists()


def test_a_kept_run_cannot_go_on_or_be_compared(
    kept: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(run), str(kept), "--out", str(tmp_path), "--name", "both"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {kept} has the tables of a run and not its cells, which are needed here; repeat")
    assert f"--config {kept / 'config.toml'}" in said
    assert not (tmp_path / "both").exists()
    before = (kept / "manifest.json").read_bytes()
    again = [*LEARN.split(), "--seeds", "4,7", "--jobs", "1", "--out", str(kept.parent), "--name", kept.name]
    assert main(again) == 2
    assert "not its cells, so that it cannot go on; give another --name" in capsys.readouterr().err
    assert (kept / "manifest.json").read_bytes() == before


def test_the_config_of_a_kept_run_means_the_same_run(kept: Path) -> None:
    from benchmark.api import understand

    settings, _, _ = understand(config=str(kept / "config.toml"))
    assert settings.as_json() == json.loads((kept / "manifest.json").read_text())["settings"]


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("folder:/data/jane/tasks:order=a,b", "folder:tasks:order=a,b"),
        ("folder:../shared/data/tasks", "folder:../shared/data/tasks"),
        ("resnet18:until=layer3:weights=/home/jane doe/w.safetensors", "resnet18:until=layer3:weights=w.safetensors"),
        ("~/tuned.json", "tuned.json"),
        ("~jane/x/tuned.json", "tuned.json"),
        (r"folder:C:\Users\jane\tasks", "folder:tasks"),
        ("D:/x/y/", "y"),
        (r"\\server\share\tasks", "tasks"),
        ("split-mnist:root=/data", "split-mnist:root=data"),
        ("Processor 3 / 4, https://example.org/a", "Processor 3 / 4, https://example.org/a"),
        ("--stream=folder:/data/x", "--stream=folder:x"),
    ],
)
def test_of_a_path_from_the_root_only_the_last_name_stays(keeper: ModuleType, given: str, left: str) -> None:
    assert keeper.without_folders(given) == left


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("run --methods clr --out /tmp/x --name a --seeds 3", "run --methods clr --seeds 3"),
        ("run --out=/tmp/x --methods=clr --jobs=2", "run --methods=clr"),
        ("run --methods clr --no-parallel-tasks --keep-states --seeds 3", "run --methods clr --seeds 3"),
        ("run --executor ray --address host:6379 --methods clr", "run --methods clr"),
        ("run --exec ray --addr host:6379 --methods clr --epochs 2", "run --methods clr --epochs 2"),
        ("compare a b --out x", "compare a b"),
    ],
)
def test_a_command_loses_what_says_where_and_not_what(keeper: ModuleType, given: str, left: str) -> None:
    assert keeper.public_command(given.split()) == left.split()


def test_hidden_options_exist(keeper: ModuleType) -> None:
    assert set(keeper.HIDDEN) <= RUN_OPTIONS.keys()


def test_the_whole_manifest_and_the_settings_obey_the_rules(keeper: ModuleType, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    manifest = json.loads((other / "manifest.json").read_text())
    stream = "folder:/srv/jane/tasks:order=a"
    manifest["settings"]["stream"] = manifest["stream"]["spec"] = stream
    manifest["tuned"] = {"file": "/srv/jane/tuned.json", "settings": {"stream": stream}}
    manifest["plugins"] = [{"file": "/srv/jane/mine.py", "sha256": "0"}]
    manifest["processes"][0]["command"] += ["--tuned", "/srv/jane/tuned.json", "--name", "jane"]
    (other / "manifest.json").write_text(json.dumps(manifest))
    config = (other / "config.toml").read_text().replace('"mini"', f'"{stream}"', 1)
    (other / "config.toml").write_text(f'{config}address = "jane.example.org:6379"\nplugin = ["/srv/jane/a b.py"]\n')
    keeper.keep(other, tmp_path / "kept")
    for name in ("manifest.json", "config.toml"):
        text = (tmp_path / "kept" / name).read_text()
        assert "jane" not in text
        assert "folder:tasks:order=a" in text
    assert 'plugin = ["a b.py"]' in (tmp_path / "kept" / "config.toml").read_text()
    assert json.loads((tmp_path / "kept" / "manifest.json").read_text())["tuned"]["file"] == "tuned.json"


def test_what_no_rule_covers_is_refused(keeper: ModuleType, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    (other / "notes.csv").write_text(f"file\n{Path.cwd()}/x\n")
    with pytest.raises(UserError, match=r"notes\.csv would name .*, which is of this machine only"):
        keeper.keep(other, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("status", ["failed", "running", "pending"])
def test_only_a_run_that_succeeded_is_kept(keeper: ModuleType, run: Path, tmp_path: Path, status: str) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    text = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(text.replace('"status": "succeeded"', f'"status": "{status}"', 1))
    with pytest.raises(UserError, match=f"only a run of which all cells succeeded is kept; this one is {status}"):
        keeper.keep(other, tmp_path / "kept")


def test_the_script_says_in_a_sentence_what_is_wrong(
    keeper: ModuleType, run: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keeper, "RESULTS", kept.parent)
    for arguments, sentence in (
        ([str(run), kept.name], f"{kept} exists; remove it, or give another NAME"),
        (["gone", "x"], "keep_run: there is no run folder gone"),
        ([str(run.parent), "x"], f"{run.parent} is not a run folder"),
        ([str(run), "a/b"], "--name a/b: write a folder's name"),
    ):
        assert keeper.main(arguments) == 2
        assert sentence in capsys.readouterr().err


@pytest.fixture
def fill(pager: ModuleType, kept: Path) -> Callable[[str], str]:
    """fill("summary") -> what stands between the comments for it."""

    def filled(what: str) -> str:
        begin, end = f"<!-- results/small: {what} -->\n", "<!-- end of results/small -->"
        text = pager.filled(f"a\n{begin}| old |\n{end}\nb\n", kept.parent)
        assert pager.filled(text, kept.parent) == text
        assert text.startswith(f"a\n{begin}")
        assert text.endswith(f"{end}\nb\n")
        return text[len(f"a\n{begin}") : -len(f"{end}\nb\n")]

    return filled


def test_a_page_shows_the_tables_of_summary_md(fill: Callable[[str], str], kept: Path) -> None:
    text = (kept / "summary.md").read_text()
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    # All these methods are at chance, so that there are no ranks.
    shown = [fill(what) for what in ("summary", "inference", "storage", "compute", "efficiency")]
    assert shown == tables
    assert text.startswith(fill("caption of summary"))


def test_a_page_chooses_columns_and_rows_in_their_order(fill: Callable[[str], str], kept: Path) -> None:
    chosen = fill("summary; columns: Seeds | Method | Average accuracy (%); rows: sgd | clr").splitlines()
    assert chosen[:2] == ["| Seeds | Method | Average accuracy (%) |", "| ---: | ---: | ---: |"]
    means = read_csv(kept, "summary").set_index("method")["average_accuracy"][:3]
    for line, method in zip(chosen[2:], ("sgd", "clr"), strict=True):
        assert line.startswith(f"| 2 | {method} | {100 * means[method]:.1f} (")


def test_a_page_shows_accuracies_of_each_task(fill: Callable[[str], str], kept: Path) -> None:
    accuracy = read_csv(kept, "accuracy").query("answer == 'task'")
    mean = accuracy.groupby(["method", "learned", "task"])["accuracy"].mean().mul(100)
    assert fill("tasks").splitlines() == [
        "| Task | clr | er:memory=20 | sgd |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {name} | {' | '.join(f'{mean[method, 2, task]:.1f}' for method in METHODS)} |"
            for task, name in ((1, "digits"), (2, "shapes"))
        ),
    ]
    assert fill("matrix of sgd").splitlines()[2:] == [
        f"| digits | {mean['sgd', 1, 1]:.1f} | \N{EN DASH} |",
        f"| shapes | {mean['sgd', 2, 1]:.1f} | {mean['sgd', 2, 2]:.1f} |",
    ]


def test_a_page_shows_columns_of_a_csv_file(fill: Callable[[str], str]) -> None:
    assert fill("tasks.csv; columns: task_name | classes | train_images").splitlines() == [
        "| task\\_name | classes | train\\_images |",
        "| --- | ---: | ---: |",
        "| digits | 10 | 36 |",
        "| shapes | 8 | 36 |",
    ]
    assert "| 293,912 |" in fill("parameters.csv; columns: method | backbone_parameters")


def test_a_page_shows_the_command_that_made_the_run(fill: Callable[[str], str]) -> None:
    block = fill("command")
    assert max(map(len, block.splitlines())) <= 120
    words = shlex.split(block.removeprefix("```bash\n").removesuffix("```\n").replace("\\\n", " "))
    assert words == ["python", "-m", "benchmark", *LEARN.split(), "--seeds", "4,7"]


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("sumary", "results/small: sumary: there is no 'sumary'; there are summary, inference, storage"),
        ("summary; columns: Acuracy", "there is no 'Acuracy'; there are Method, Seeds"),
        ("summary; rows: ewc", "there is no 'ewc'; there are clr"),
        ("matrix of ewc", "there is no 'ewc'; there are clr"),
        ("classes.csv", "there is no such file; there are accuracy.csv"),
        ("summary; lines: 3", "has another form"),
    ],
)
def test_a_comment_that_names_nothing_is_refused(fill: Callable[[str], str], what: str, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        fill(what)


def test_the_script_of_the_pages_says_in_a_sentence_what_is_wrong(
    pager: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- results/gone: summary -->\n| a |\n")
    monkeypatch.setattr(pager, "pages", lambda: [page])
    assert pager.main() == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {page}: a comment that begins with")
    assert printed.count("\n") == 1


def test_a_block_without_an_end_and_a_run_that_is_not_kept_are_refused(pager: ModuleType, kept: Path) -> None:
    with pytest.raises(UserError, match="no end"):
        pager.filled("<!-- results/small: summary -->\n| a |\n", kept.parent)
    with pytest.raises(UserError, match="is not a run folder"):
        pager.filled("<!-- results/gone: summary -->\n<!-- end of results/gone -->", kept.parent)
