"""What a scenario refuses, before anything trains, and which methods it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.planning.scenarios import methods_for
from methods import methods

ALL_JOINT = ["sgd", "ewc", "online-ewc", "si", "lwf", "er", "derpp", "agem", "joint"]
NAMES = ", ".join(ALL_JOINT)


def test_the_methods_with_an_answer_of_their_own() -> None:
    # Other tests may have registered methods of their own.
    built_in = {*methods.members("all")}
    assert {*methods_for("class")} & built_in == {*ALL_JOINT}
    assert {*methods_for("domain")} & built_in == {*ALL_JOINT, "sgd-ll"}
    assert {"clr", "packnet", "avalanche", *ALL_JOINT} <= set(methods_for("task"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            "--methods er,clr --scenario class",
            "--scenario class: 'clr' answers only where the task of an image is known; leave it out, or give "
            "--scenario task; methods with an answer here are ",
        ),
        ("--methods sgd-ll --scenario class", "--scenario class: 'sgd-ll' answers only where the task"),
        ("--methods single-task --scenario domain", "--scenario domain: 'single-task' answers only where the task"),
        ("--methods confit --scenario domain", "--scenario domain: 'confit' answers only where the task"),
        ("--methods avalanche:MASPlugin --scenario class", "--scenario class: 'avalanche:MASPlugin' answers only"),
        (
            "--methods sgd:bn=per-task --scenario class",
            "--scenario class: 'sgd:bn=per-task' has batch normalisation for each task, and the task of a test image "
            "is not known; give it bn=shared or bn=frozen, or use --scenario task",
        ),
        ("--methods ewc:bn=per-task --scenario domain", "--scenario domain: 'ewc:bn=per-task' has batch"),
        (
            "--methods er:logits=seen",
            "--scenario task: 'er:logits=seen' sets logits, which says something only where classes of several tasks "
            "compete; leave it out, or give --scenario class",
        ),
        ("--methods er:logits=all --scenario domain", "--scenario domain: 'er:logits=all' sets logits"),
        ("--methods joint:logits=current --scenario class", "'joint:logits=current': option logits=current is not one"),
        (
            "--methods sgd --scenario domain --stream mini",
            "--scenario domain needs a stream whose tasks all have the same classes in the same order, but ",
        ),
    ],
)
def test_what_has_no_answer_is_refused_in_one_sentence(
    options: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *options.split(), "--out", str(tmp_path), "--device", "cpu", "--jobs", "1"]) == 2
    error = capsys.readouterr().err
    told = next(line for line in error.splitlines() if line.startswith("error: "))
    assert told.startswith(f"error: {says}")
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_cost_refuses_it_too_and_counts_the_growing_head(capsys: pytest.CaptureFixture[str]) -> None:
    shape = ["--tasks", "4", "--classes", "5", "--images", "20", "--image-size", "32", "--epochs", "1"]
    assert main(["cost", "--methods", "clr", "--scenario", "class", *shape]) == 2
    assert capsys.readouterr().err.startswith("error: --scenario class: 'clr' answers only where")
    assert main(["cost", "--methods", "sgd,er", "--scenario", "class", *shape]) == 0
    assert "er" in capsys.readouterr().out
