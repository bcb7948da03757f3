"""What is checked: names, files, and what there is to say where that is nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmark.checks.base import WrongError
from benchmark.checks.find import targets
from benchmark.checks.methods import METHOD_CHECKS
from benchmark.cli.main import main
from methods.errors import UserError


def names(*asked: str) -> list[str]:
    return [str(target) for target in targets(asked)]


def test_a_name_of_several_kinds() -> None:
    assert names("mini") == ["stream mini", "backbone mini"]
    assert names("avalanche:MASPlugin") == ["method avalanche:MASPlugin"]
    assert names("avalanche:SplitMNIST") == ["stream avalanche:SplitMNIST"]


def test_a_group_is_its_members() -> None:
    assert names("paper")[:2] == ["method clr", "method ewc"]


def test_a_file_of_a_package(lab) -> None:
    """What setup.cfg announces has no name yet; the class's own stands for it."""
    assert names(str(lab / "mean_imm.py")) == ["method MeanIMM"]


def test_what_has_options_is_not_checked_without(lab) -> None:
    assert names(str(lab / "mean_imm.py"), "MeanIMM:share=0.3") == ["method MeanIMM:share=0.3"]


def test_a_file_with_several(tmp_path, lab) -> None:
    file = tmp_path / "all.py"
    file.write_text(
        (lab / "gratings.py").read_text()
        + "\n\n"
        + (lab / "gabor.py").read_text().replace("from __future__ import annotations\n", "")
    )
    assert names(str(file)) == ["stream Gratings", "backbone Gabor"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("missing.py", "check: there is no file missing.py"),
        ("no-such-thing", "check: there is no file, method, stream or backbone 'no-such-thing'"),
    ],
)
def test_what_is_not_there(asked: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        targets([asked])
    assert str(caught.value).startswith(says)


def test_the_command(tmp_path, capsys, lab) -> None:
    file = str(lab / "mean_imm.py")
    assert main(["check", file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "method MeanIMM"
    assert lines[1] == "  ok      its docstring describes it and each option"
    assert lines[-2] == "  25 of 25 checks passed"


def test_failures_are_told_once_more_at_the_end(capsys, monkeypatch) -> None:
    def wrong(subject) -> None:
        raise WrongError("it is wrong")

    checks = [replace(METHOD_CHECKS[0], look=wrong), *METHOD_CHECKS[1:3]]
    monkeypatch.setattr("benchmark.checks.find.METHOD_CHECKS", checks)
    assert main(["check", "linear-probe"]) == 1
    lines = capsys.readouterr().out.splitlines()
    told = f"  FAILED  {checks[0].name}: it is wrong"
    assert [index for index, line in enumerate(lines) if line == told] == [1, 5]
    assert lines[4] == "  2 of 3 checks passed"


def test_a_class_without_a_name_is_checked_and_told_so(tmp_path, capsys, monkeypatch, lab) -> None:
    monkeypatch.setattr("benchmark.checks.find.METHOD_CHECKS", METHOD_CHECKS[:1])
    assert main(["check", str(lab / "mean_imm.py")]) == 0
    assert capsys.readouterr().err == (
        "note: MeanIMM is checked, but not registered, so that `run --plugin` does not know it; write "
        '@methods.register("NAME") above the class, or announce it as a method of an installed package\n'
    )
    named = tmp_path / "named.py"
    text = (lab / "mean_imm.py").read_text().replace("class MeanIMM", '@methods.register("mean")\nclass MeanIMM')
    named.write_text(text.replace("from __future__ import annotations", "from methods import methods"))
    assert main(["check", str(named)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("method mean\n")
    assert said.err == ""


def test_the_command_fails(tmp_path, capsys, lab) -> None:
    broken = tmp_path / "mine.py"
    broken.write_text(
        (lab / "mean_imm.py").read_text().replace("share: float | None = None", "share: float = 0.5, odd: int = 1")
    )
    assert main(["check", str(broken)]) == 1
    assert "FAILED  its docstring describes it and each option: the docstring of MeanIMM (" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_module", "does not import: ModuleNotFoundError"),
        ("x = 1", 'registers nothing; write @methods.register("NAME")'),
        ("from methods import UserError\nraise UserError('own sentence')", "own sentence"),
    ],
)
def test_a_file_that_cannot_be_loaded(text: str, says: str, tmp_path, capsys) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    assert main(["check", str(file)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_constructor_that_fails(tmp_path, capsys, lab) -> None:
    file = tmp_path / "mine.py"
    file.write_text((lab / "mean_imm.py").read_text().replace("self.share = share", "self.share = share.real"))
    assert main(["check", str(file)]) == 1
    assert "it can be made: AttributeError: 'NoneType'" in capsys.readouterr().out


def test_a_method_is_examined_in_each_scenario_that_it_declares() -> None:
    (target,) = targets(["sgd-ll"])
    names = [finding.check for finding in target.findings()]
    known = [check.name for check in METHOD_CHECKS]
    assert names == [*known, *(f"{name}, with --scenario domain" for name in known)]


def test_a_method_that_refuses_the_backbone_has_said_enough(capsys) -> None:
    assert main(["check", "hat", "--backbone", "mini-vit:weights=random"]) == 0
    said = capsys.readouterr().out
    assert (
        "ok      says whether it can be used on the backbone: hat cannot be used on this backbone: it works on" in said
    )
    assert "1 of 1 checks passed" in said


@pytest.mark.parametrize(
    ("backbone", "says"),
    [
        ("mlp", "check --backbone mlp: it takes grey images"),
        ("mini-vit:depth=3", "mini-vit"),
        ("minivit", "minivit"),
    ],
)
def test_a_backbone_that_cannot_be_used(backbone: str, says: str, capsys) -> None:
    assert main(["check", "sgd", "--backbone", backbone]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_method_is_checked_on_a_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network and its size of images; here by two checks, since all of them take long."""
    wanted = ("learns three tasks and answers for each", "runs without data, for the same cost")
    monkeypatch.setattr("benchmark.checks.find.METHOD_CHECKS", [c for c in METHOD_CHECKS if c.name in wanted])
    (target,) = targets(["linear-probe"], "mini-vit:weights=random")
    assert [(finding.check, str(finding.status)) for finding in target.findings()] == [(name, "ok") for name in wanted]
