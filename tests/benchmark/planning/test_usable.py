"""Methods that cannot be used on a backbone: refused if the user named them, left out of a group otherwise."""

from __future__ import annotations

import copy
import json
import pickle
import tomllib
from pathlib import Path

import pytest
import torch

from baselines.shared.finetuning import FineTuning
from benchmark.cli.main import main
from benchmark.config import Settings, parse_methods
from benchmark.planning.preparation import Prepared, prepare_run
from methods import methods
from methods.errors import UserError
from methods.method import Method, Part
from methods.network import Network
from methods.step import Step

# hat and bpn work on convolutions, and a perceptron has none.
MLP = "mlp:size=8"
SMALL = [*("--backbone", MLP), *("--epochs", "1")]
SMALLER = [*("--train-images", "40"), *("--tasks", "1"), *("--test-images", "20")]


def leaves_out(name: str) -> str:
    return (
        f"--methods few goes on without {name}: {name} cannot be used on this backbone: it works on convolutions, and "
        "there are none; leave the method out"
    )


@pytest.fixture(autouse=True)
def groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two groups, and a folder of one's own."""
    monkeypatch.setattr(methods, "_groups", dict(methods._groups))
    methods.add_group("few", "some", members=("hat", "sgd", "bpn"))
    methods.add_group("none", "others", members=("bpn", "conv-lora"))
    monkeypatch.chdir(tmp_path)


def prepared(text: str, said: list[str], **options: object) -> Prepared:
    settings = Settings(methods=parse_methods(text), backbone=MLP, tasks=1, train_images=20, test_images=10, **options)
    return prepare_run(settings, note=lambda text: None, warn=said.append)


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        prepared(text, [])
    return str(caught.value)


def run(*options: str) -> int:
    return main(["run", *SMALL, *SMALLER, "--jobs", "1", *options])


def test_a_member_of_a_group_knows_its_group_unless_it_is_named_itself() -> None:
    specs = parse_methods("few,er,bpn,none")
    assert [(spec, spec.group) for spec in specs] == [
        ("hat", "few"),
        ("sgd", "few"),
        ("bpn", ""),
        ("er", ""),
        ("conv-lora", "none"),
    ]
    for same in (copy.deepcopy(specs), pickle.loads(pickle.dumps(specs)), parse_methods(list(specs))):
        assert [spec.group for spec in same] == [spec.group for spec in specs]


def test_members_that_cannot_be_used_are_left_out_with_a_sentence_each() -> None:
    said: list[str] = []
    found = prepared("few,linear-probe", said)
    assert said == [leaves_out("hat"), leaves_out("bpn")]
    assert found.settings.methods == ("sgd", "linear-probe")
    assert [method.label for method in found.methods] == ["sgd", "linear-probe"]
    assert found.left_out == ("hat", "bpn")


def test_nothing_is_said_where_all_can_be_used() -> None:
    said: list[str] = []
    settings = Settings(methods=parse_methods("few"), tasks=1, train_images=20, test_images=10)
    assert prepare_run(settings, note=lambda text: None, warn=said.append).settings.methods == ("hat", "sgd", "bpn")
    assert said == []


@pytest.mark.parametrize("text", ["few,hat", "hat,few", "sgd,hat"])
def test_a_method_that_the_user_named_is_refused(text: str) -> None:
    assert refusal(text) == (
        "hat cannot be used on this backbone: it works on convolutions, and there are none; leave the method out"
    )


def test_a_group_of_which_nothing_is_left_is_refused() -> None:
    assert refusal("none") == (
        "--methods none: nothing of it can be used with --backbone mlp:size=8: bpn cannot be used on this "
        "backbone: it works on convolutions, and there are none; leave the method out"
    )


def test_what_is_left_decides_about_the_rules() -> None:
    """Without hat and bpn, no method needs to have its task guessed."""
    settings = Settings(methods=parse_methods("few"), scenario="class", tasks=2, train_images=20, test_images=10)
    assert prepare_run(settings, note=lambda text: None).settings.infer != ()
    assert prepared("few", [], scenario="class").settings.infer == ()


def test_another_error_in_adapt_is_left_to_the_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, network: object) -> None:
        raise KeyError("here")

    monkeypatch.setattr(methods.get("sgd"), "adapt", broken)
    assert prepared("few", []).settings.methods == ("sgd",)


def test_a_run_says_it_once_and_lists_what_ran(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        # The second time the run is resumed.
        assert run("--methods", "few,linear-probe", "--name", "first") == 0
        shown = capsys.readouterr().err
        assert [shown.count(leaves_out(name)) for name in ("hat", "bpn")] == [1, 1]
    folder = Path("results", "first")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["settings"]["methods"] == ["sgd", "linear-probe"]
    assert [cell["method"] for cell in manifest["cells"]] == ["sgd", "linear-probe"]
    assert manifest["reference"] == "sgd"
    config = folder / "config.toml"
    assert tomllib.loads(config.read_text())["methods"] == ["sgd", "linear-probe"]
    assert main(["run", "--config", str(config), "--name", "again"]) == 0
    assert "goes on without" not in capsys.readouterr().err
    assert (folder / "accuracy.csv").read_text() == Path("results", "again", "accuracy.csv").read_text()


def test_a_reference_that_is_left_out_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--methods", "few", "--reference", "hat", "--name", "first") == 2
    assert "--reference hat is none of the methods here; give one of sgd, or all" in capsys.readouterr().err
    assert not Path("results", "first").exists()


def test_costs_are_those_of_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--methods", "few", "--backbone", MLP]) == 0
    printed = capsys.readouterr()
    assert [printed.err.count(leaves_out(name)) for name in ("hat", "bpn")] == [1, 1]
    assert "sgd" in printed.out
    assert "bpn" not in printed.out
    assert main(["cost", "--methods", "few,hat", "--backbone", MLP]) == 2


def test_tuned_options_of_a_group_are_those_of_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    tune = ["tune", "--methods", "few", "--budget", "1", "--tuning-tasks", "1", "--train-images", "40", *SMALL]
    for _ in range(2):
        assert main(tune) == 0
        assert capsys.readouterr().err.count(leaves_out("hat")) == 1
    content = json.loads(Path("tuned.json").read_text())
    assert list(content["methods"]) == ["sgd"]
    assert content["left_out"] == ["hat", "bpn"]
    assert run("--methods", "few", "--tuned", "tuned.json", "--name", "tuned") == 0
    assert "--tuned tuned.json goes on without hat: it could not be used on the backbone mlp:size=8" in (
        capsys.readouterr().err
    )
    assert list(json.loads(Path("results", "tuned", "manifest.json").read_text())["tuned"]["methods"]) == (
        ["sgd:lr=0.03"]
    )
    # A method that the user names must have been tuned.
    assert run("--methods", "few,hat", "--tuned", "tuned.json") == 2
    assert "tuned.json has no 'hat'" in capsys.readouterr().err


def test_tuned_members_that_cannot_be_used_here_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    tune = ["tune", "--methods", "few", "--budget", "1", "--tuning-tasks", "1", "--train-images", "20", "--epochs", "1"]
    assert main(tune) == 0
    assert run("--methods", "few", "--tuned", "tuned.json", "--name", "tuned") == 0
    assert "--methods few goes on without hat:" in capsys.readouterr().err
    manifest = json.loads(Path("results", "tuned", "manifest.json").read_text())
    assert list(manifest["tuned"]["methods"]) == manifest["settings"]["methods"] == ["sgd:lr=0.03"]


def test_a_function_that_only_begins_like_a_hook_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Typo(FineTuning):
        """Its penalty never acts."""

        def before_backwards(self, step: Step) -> None:
            step.loss += 1

    monkeypatch.setattr(methods, "_entries", dict(methods._entries))
    methods.register("typo")(Typo)
    said: list[str] = []
    prepared("typo,sgd", said)
    (line,) = said
    assert line.startswith("'typo': 'before_backwards' (test_usable.py, line ")
    assert line.endswith(" is no hook, and nothing here calls it; did you mean 'before_backward'?")


def test_a_method_that_finds_nothing_to_change_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnConvolutions(Method):
        """A scale for each convolution."""

        def adapt(self, network: Network) -> None:
            for module in network.backbone.modules():
                if isinstance(module, torch.nn.Conv2d):
                    module.register_parameter("factor", torch.nn.Parameter(torch.ones(1)))

        def part(self, module: torch.nn.Module, name: str) -> Part:
            return "task" if name.endswith(".factor") else "frozen"

    monkeypatch.setattr(methods, "_entries", dict(methods._entries))
    methods.register("on-convolutions")(OnConvolutions)
    said: list[str] = []
    prepared("on-convolutions,linear-probe,sgd,ncm", said)
    assert said == [
        f"'on-convolutions' finds nothing to change in --backbone {MLP}: it trains heads alone, as linear-probe does"
    ]
    said.clear()
    settings = Settings(methods=parse_methods("on-convolutions"), tasks=1, train_images=20, test_images=10)
    prepare_run(settings, note=lambda text: None, warn=said.append)
    assert said == []
