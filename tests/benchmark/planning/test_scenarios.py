"""What a scenario refuses, before anything trains, and which methods it is for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from baselines.sgd import SGD
from benchmark.checks.tiny import make_task
from benchmark.cli.main import main
from benchmark.planning.scenarios import check_classes, learned_as, methods_for, rules_for
from benchmark.streams.base import Stream
from benchmark.task_inference.rules import DEFAULT_RULE
from methods import BNPolicy, methods
from methods.configured import configure
from methods.errors import UserError
from methods.scenarios import Scenario

ALL_JOINT = ["sgd", "ewc", "online-ewc", "si", "lwf", "er", "er-ace", "derpp", "cls-er", "agem", "gdumb", "joint"]
ALL_JOINT += ["ncm", "slda", "ranpac", "aper", "lae"]
# They need a transformer.
PROMPTS = ["l2p", "dualprompt", "coda-prompt"]
CLASS_ONLY = ["icarl", "wa", "bic", "slca", "ease"]


def test_the_methods_with_an_answer_of_their_own() -> None:
    # Other tests may have registered methods of their own.
    built_in = {name for name in methods.names() if methods._entries[name].target.startswith(("baselines", "methods"))}
    assert {*methods_for("class")} & built_in == {*ALL_JOINT, *PROMPTS, *CLASS_ONLY}
    assert {*methods_for("domain")} & built_in == {*ALL_JOINT, *PROMPTS, "sgd-ll"}
    assert {"clr", "packnet", "avalanche", *ALL_JOINT, *PROMPTS} <= set(methods_for("task"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            "--methods er,icarl",
            "--scenario task: 'icarl' answers only where classes of all tasks compete; leave it out, or give "
            "--scenario class; methods with an answer here are ",
        ),
        ("--methods bic --scenario domain", "--scenario domain: 'bic' answers only where classes of all tasks compete"),
        (
            "--methods er:logits=seen",
            "--scenario task: 'er:logits=seen' sets logits, which says something only where one head answers "
            "for the classes of several tasks; leave it out, or give --scenario class",
        ),
        ("--methods er:logits=all --scenario domain", "--scenario domain: 'er:logits=all' sets logits"),
        (
            "--methods sgd:bn=per-task:logits=all --scenario class",
            "--scenario class: 'sgd:bn=per-task:logits=all' sets logits, which says something only where one head "
            "answers for the classes of several tasks; with bn=per-task each task has a head of its own; leave one of "
            "the two out",
        ),
        (
            "--methods sgd,er --scenario domain --stream rotated-mnist --infer energy,centres",
            "--infer energy,centres: with --scenario domain these methods answer without the task of an image, so ",
        ),
        (
            "--methods lwf:warmup=2 --scenario domain",
            "--scenario domain: 'lwf:warmup=2' trains the units of new classes first, and here no class is new; leave "
            "warmup out",
        ),
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


def test_a_label_fits_into_two_bytes() -> None:
    """The largest of 32768 classes is 32767; with one more it would be stored as another class."""
    names = tuple(map(str, range(2**15 - 2)))
    large = replace(make_task(1, 2), classes=names)
    fits, exceeds = (Stream("many", (large, make_task(2, classes))) for classes in (2, 3))
    check_classes("class", fits)
    check_classes("task", exceeds)
    with pytest.raises(UserError, match=r"^--scenario class: 32,769 classes compete for an image, and at most 32,768 "):
        check_classes("class", exceeds)
    alone = Stream("many", (replace(large, classes=(*names, "a", "b", "c")),))
    for scenario in ("task", "class", "domain"):
        with pytest.raises(UserError, match=f"^--scenario {scenario}: 32,769 classes"):
            check_classes(scenario, alone)


@pytest.mark.parametrize(
    ("spec", "scenario", "learned", "rules"),
    [
        ("sgd", "task", "task", ()),
        ("sgd", "class", "class", ()),
        ("sgd", "domain", "domain", ()),
        ("sgd:bn=per-task", "class", "task", (DEFAULT_RULE,)),
        ("sgd-ll", "class", "task", (DEFAULT_RULE,)),
        ("sgd-ll", "domain", "domain", ()),
        ("clr", "task", "task", ()),
        ("clr", "class", "task", (DEFAULT_RULE,)),
        ("packnet", "domain", "task", (DEFAULT_RULE,)),
        ("psp", "class", "task", (DEFAULT_RULE,)),
        ("psp:bn=shared", "class", "task", (DEFAULT_RULE,)),
    ],
)
def test_methods_without_an_answer_of_their_own_guess_the_task(
    spec: str, scenario: Scenario, learned: Scenario, rules: tuple[str, ...]
) -> None:
    method = configure(spec)
    assert learned_as(scenario, method) == learned
    assert rules_for(scenario, [method], ()) == rules
    if learned != "domain":
        assert rules_for(scenario, [method], ("energy", "max-softmax")) == ("energy", "max-softmax")


class OwnNorms(SGD):
    """Batch normalisation per task unless the user says otherwise."""

    def __init__(self, bn: BNPolicy = "per-task"):
        super().__init__(bn)


def test_a_default_counts_as_what_the_user_says() -> None:
    method = replace(configure("sgd"), cls=OwnNorms)
    assert "class" in method.cls.scenarios
    assert learned_as("class", method) == learned_as("domain", method) == "task"
    assert learned_as("class", replace(method, options={"bn": "shared"})) == "class"


def test_cost_refuses_it_too_and_counts_the_growing_head(capsys: pytest.CaptureFixture[str]) -> None:
    shape = ["--tasks", "4", "--classes", "5", "--images", "20", "--image-size", "32", "--epochs", "1"]
    assert main(["cost", "--methods", "er:logits=all", "--scenario", "domain", *shape]) == 2
    assert capsys.readouterr().err.startswith("error: --scenario domain: 'er:logits=all' sets logits")
    assert main(["cost", "--methods", "sgd,er,clr", "--scenario", "class", *shape]) == 0
    assert "er" in capsys.readouterr().out
