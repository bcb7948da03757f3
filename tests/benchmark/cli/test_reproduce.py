"""`reproduce` as its user meets it, with a protocol that is made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.cli.main import main

RUN = """
title = "Made up"
source = "nobody <b>"
differs = ["It is made up."]
[run]
stream = "mini"
tasks = 2
train-images = 20
test-images = 20
epochs = 1
image-size = 16
seeds = [0, 1]
"""
TARGETS = """
scenario = "class"
[methods]
plain = "sgd"
replay = "er:memory=10"
[[targets]]
method = "plain"
value = 12.30
sd = 1.50
repetitions = 3
[[targets]]
method = "replay"
value = 99.9
answer = "derived"
[[targets]]
method = "replay"
metric = "extra_parameters_percent"
below = 0.6
"""
PARTS = """
[methods]
plain = "sgd"
[parts.task]
targets = [{method = "plain", value = 50.0}]
[parts.class]
run = {scenario = "class"}
targets = [{method = "plain", value = 0.0, tolerance = 100.0}]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(RUN + TARGETS)
    Path("parts.toml").write_text(RUN + PARTS)
    return tmp_path


def reproduce(*words: str) -> int:
    return main(["reproduce", *words, "--jobs", "1", "--device", "cpu"])


def refusal(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert reproduce(*words) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert not Path("results").exists()
    return printed.err.removeprefix("error: ").strip()


def test_the_numbers_are_run_compared_and_written(here: Path, capsys, monkeypatch):
    assert reproduce("mine.toml", "--name", "mine") == 0
    printed = capsys.readouterr().out
    folder = here / "results" / "mine"
    rows = pd.read_csv(folder / "reproduction.csv")
    assert rows["row"].tolist() == ["plain", "replay", "replay"]
    assert rows["published"].tolist() == [0.123, 0.999, 0.6]

    # Ours are those of the records, counted here.
    accuracy = pd.read_csv(folder / "accuracy.csv")
    last = accuracy[accuracy["learned"] == 2]
    for row, (method, answer) in zip(rows.itertuples(), [("sgd", "class"), ("er:memory=10", "derived")], strict=False):
        own = last[(last["method"] == method) & (last["answer"] == answer)]
        seeds = own.groupby("seed")["accuracy"].mean()
        assert row.ours == pytest.approx(seeds.mean())
        assert row.our_spread == pytest.approx(np.std(seeds, ddof=1))
        assert (row.our_repetitions, row.difference) == (2, pytest.approx(row.ours - row.published))
    assert rows["rule"].tolist() == ["both spreads", "our spread", "bound"]
    assert rows["verdict"].tolist()[2] == "holds"

    assert "Source: nobody <b>." in printed
    assert "12.30 ± 1.50 (SD of 3)" in printed
    assert "It is made up." in printed
    assert "average accuracy (%), derived" in printed
    assert "Forgetting" not in printed, "the table of an ordinary run is in its folder"
    page = (folder / "report.html").read_text()
    assert "Published numbers reproduced" in page
    assert "nobody &lt;b&gt;" in page
    assert "12.30 ± 1.50" in (folder / "summary.md").read_text()

    # The page and the table are made again from the folder alone, and what is done is not done again.
    before = (folder / "reproduction.csv").read_bytes()
    (here / "mine.toml").rename(here / "gone.toml")
    for name in ("reproduction.csv", "report.html"):
        (folder / name).unlink()
    assert main(["report", "mine"]) == 0
    assert (folder / "reproduction.csv").read_bytes() == before
    assert "Published numbers reproduced" in (folder / "report.html").read_text()

    (here / "gone.toml").rename(here / "mine.toml")
    (here / "mine.toml").write_text((here / "mine.toml").read_text().replace("12.30", "12.40"))

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("what is done is not done again")

    monkeypatch.setattr("benchmark.running.executors.cell_learner.learn", refuse)
    assert reproduce("mine.toml", "--name", "mine") == 0
    assert pd.read_csv(folder / "reproduction.csv")["published"].tolist()[0] == 0.124, "a corrected number counts"


def test_rows_and_seeds_can_be_chosen_and_the_table_says_so(here: Path, capsys, quick_report):
    assert reproduce("mine.toml", "--name", "less", "--methods", "replay", "--seeds", "3,") == 0
    rows = pd.read_csv(here / "results" / "less" / "reproduction.csv")
    assert rows["verdict"].tolist() == ["not judged", "holds"]
    printed = capsys.readouterr().out
    assert "Only the rows replay are run. The seeds are 3, and not 0, 1." in printed
    manifest = json.loads((here / "results" / "less" / "manifest.json").read_text())
    assert (manifest["settings"]["methods"], manifest["settings"]["seeds"]) == (["er:memory=10"], [3])


def test_parts_are_runs_of_their_own_and_what_was_stopped_goes_on(here: Path, capsys, monkeypatch, quick_report):
    from benchmark.running.executors import cell_learner

    learn, learned = cell_learner.learn, []

    def stop(*arguments: object, **options: object):
        learned.append(arguments)
        if len(learned) == 6:
            raise KeyboardInterrupt
        return learn(*arguments, **options)

    monkeypatch.setattr(cell_learner, "learn", stop)
    assert reproduce("parts.toml", "--name", "both") == 130
    assert "Go on with: python -m benchmark reproduce parts.toml" in capsys.readouterr().err
    assert len(learned) == 6
    assert reproduce("parts.toml", "--name", "both") == 0
    assert len(learned) == 9, "two tasks, two seeds, two parts, and the one that was stopped"

    folder = here / "results" / "both"
    joined = pd.read_csv(folder / "reproduction.csv")
    assert joined["part"].tolist() == ["task", "class"]
    assert joined["rule"].tolist() == ["our spread", "tolerance"]
    assert (folder / "reproduction.md").is_file()
    for part in ("task", "class"):
        assert main(["report", str(folder / part)]) == 0
        own = pd.read_csv(folder / part / "reproduction.csv")
        pd.testing.assert_frame_equal(own, joined[joined["part"] == part].reset_index(drop=True))
    capsys.readouterr()
    assert reproduce("parts.toml", "--name", "one", "--parts", "class") == 0
    assert [path.name for path in (here / "results" / "one").iterdir() if path.is_dir()] == ["class"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Folder -> the settings of each run that would be done; nothing is learned."""
    found: dict[str, Any] = {}

    def stop(settings: Any, execution: Any, folder: Path, argv: list[str], resume: str) -> None:
        found[str(folder)] = settings

    monkeypatch.setattr("benchmark.cli.reproduce.do_run", stop)
    return found


def test_a_preset_counts_and_what_is_said_beside_it_wins(here: Path, asked: dict[str, Any]):
    text = (RUN + TARGETS).replace("epochs = 1\n", 'preset = "paper"\nlr = 0.5\n')
    Path("mine.toml").write_text(text)
    assert reproduce("mine.toml", "--name", "mine") == 130
    (settings,) = asked.values()
    assert (settings.epochs, settings.batch_size, settings.optimizer, settings.schedule) == (60, 32, "adam", "step")
    assert (settings.lr, settings.image_size) == (0.5, 16)


def test_the_run_of_a_named_part_lies_in_a_folder_of_this_name_also_if_it_is_the_only_one(
    here: Path, asked: dict[str, Any]
):
    Path("parts.toml").write_text(RUN + PARTS.partition("[parts.class]")[0])
    assert reproduce("parts.toml", "--name", "one") == 130
    assert list(asked) == [str(Path("results") / "one" / "task")]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('{scenario = "class"}', '{scenario = "class", lr = 0.1}\nmethods = {plain = "er:memry=3"}', "option 'memry'"),
        ('{scenario = "class"}', '{scenario = "class"}\nmethods = {plain = "clr:logits=all"}', "'clr:logits=all'"),
        # clr has no answer of its own where the task is not known: a rule guesses it.
        (
            'run = {scenario = "class"}',
            'run = {scenario = "class", infer = "gmm"}\nmethods = {plain = "clr"}',
            "reproduce parts (class): plain (clr) gives no answer 'class' in the scenario class; `answer` of its "
            "targets is one of inferred:gmm, task",
        ),
    ],
)
def test_what_a_later_part_cannot_have_is_refused_before_the_first_is_learned(
    old: str, new: str, says: str, here: Path, capsys
):
    assert old in PARTS
    Path("parts.toml").write_text(RUN + PARTS.replace(old, new))
    assert says in refusal(capsys, "parts.toml")


def test_the_answer_of_a_rule_is_reproduced(here: Path, asked: dict[str, Any]):
    own = 'run = {scenario = "class", infer = "gmm"}\nmethods = {plain = "clr"}'
    text = PARTS.replace('run = {scenario = "class"}', own).replace(
        "value = 0.0", 'answer = "inferred:gmm", value = 0.0'
    )
    Path("parts.toml").write_text(RUN + text)
    assert reproduce("parts.toml", "--name", "both") == 130
    assert len(asked) == 1


def test_without_a_name_it_lists_what_there_is(here: Path, capsys):
    done = here / "results" / "done"
    done.mkdir(parents=True)
    (done / "manifest.json").write_text(json.dumps({"reproduces": {"protocol": "mammoth-split-mnist", "part": ""}}))
    (here / "results" / "other").mkdir()
    (here / "results" / "other" / "manifest.json").write_text("[1]")
    assert main(["reproduce"]) == 0
    printed = capsys.readouterr().out
    assert "mammoth-split-mnist: Split-MNIST as Mammoth learns it" in printed
    assert "DIR/MNIST/raw" in printed
    assert f"run here  {Path('results') / 'done'}" in printed


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("mine.toml --methods plian", "--methods plian: mine has no 'plian': did you mean 'plain'? known are plain"),
        ("mine.toml --methods ,", "--methods names nothing; known are plain, replay"),
        ("mine.toml --parts a", "--parts a: mine has no 'a': it has no parts"),
        ("parts.toml --parts domain", "--parts domain: parts has no 'domain': known are task, class"),
        ("mine.toml --data there", "--data there: mine needs no data; leave the option out"),
        ("mine.toml --seeds none", "--seeds none is neither how many seeds (3) nor a list of them (4,7)"),
        ("mammoth-split-mnist --data there", "--data there: there is no there/MNIST/raw; mammoth-split-mnist needs"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_made(words: str, says: str, capsys):
    assert says in refusal(capsys, *words.split())


def test_mammoths_protocol_runs_on_files_of_its_format(here: Path, write_mnist, capsys, quick_report):
    write_mnist(here / "there" / "MNIST" / "raw", per_class=12)
    words = "mammoth-split-mnist --data there --seeds 1 --methods er --name mnist"
    assert reproduce(*words.split()) == 0
    rows = pd.read_csv(here / "results" / "mnist" / "reproduction.csv")
    assert rows["answer"].tolist() == ["class", "derived"]
    assert rows["ours"].between(0, 1).all()
