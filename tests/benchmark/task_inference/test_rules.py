"""Which rules there are, and what is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmark.cli.main import main, parse
from benchmark.config import Settings, setting_of
from benchmark.results.join import training_mark
from benchmark.running.config_file import config_text
from benchmark.running.manifest import check_same
from benchmark.running.request import requested
from benchmark.task_inference.feature_rules import FEATURE_RULES
from benchmark.task_inference.rules import DEFAULT_RULE, FEATURE_NAMES, RULES, SURENESS_NAMES, parse_rules
from methods.errors import UserError

#: The rule whose answers stand in the summary comes first.
ALL = ("mahalanobis", "max-softmax", "entropy", "energy", "centres", "gmm")
KNOWN = "known are max-softmax, entropy, energy, centres, gmm, mahalanobis, or all"


def test_each_rule_is_of_one_kind():
    assert tuple(RULES) == (*SURENESS_NAMES, *FEATURE_NAMES)
    assert tuple(FEATURE_RULES) == FEATURE_NAMES
    assert DEFAULT_RULE in RULES


def test_their_names_need_nothing_heavy():
    code = "import sys, benchmark.task_inference.rules; print({'torch', 'sklearn', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("asked", "rules"),
    [
        ("centres", ("centres",)),
        ("max-softmax,centres", ("max-softmax", "centres")),
        (" gmm , energy,", ("gmm", "energy")),
        (["mahalanobis", "entropy"], ("mahalanobis", "entropy")),
        (("gmm",), ("gmm",)),
        ("all", ALL),
        (["all"], ALL),
        ("", ()),
        ((), ()),
    ],
)
def test_rules_keep_the_order_in_which_they_are_asked_for(asked: object, rules: tuple[str, ...]):
    assert parse_rules(asked) == rules
    assert Settings(methods=("clr",), infer=asked).infer == rules


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("centers", f"--infer: unknown rule 'centers': did you mean 'centres'? {KNOWN}"),
        ("oracle", f"--infer: unknown rule 'oracle': {KNOWN}"),
        ("gmm,zzz", f"--infer: unknown rule 'zzz': {KNOWN}"),
        ([3], f"--infer: unknown rule '3': {KNOWN}"),
        ("gmm,energy,gmm", "--infer gives 'gmm' twice; give each rule once"),
        ("all,gmm", "--infer gives 'gmm' twice; give each rule once"),
        ("gmm,all", "--infer gives 'gmm' twice; give each rule once"),
    ],
)
def test_what_is_refused(asked: object, says: str):
    for call in (lambda: parse_rules(asked), lambda: Settings(methods=("clr",), infer=asked)):
        with pytest.raises(UserError) as caught:
            call()
        assert str(caught.value) == says


def test_the_command_line_refuses_in_one_sentence(capsys: pytest.CaptureFixture):
    assert main(["run", "--methods", "clr", "--infer", "gm"]) == 2
    assert f"--infer: unknown rule 'gm': did you mean 'gmm'? {KNOWN}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["tune", "cost"])
def test_only_runs_infer(command: str, capsys: pytest.CaptureFixture):
    more = ["--budget", "1"] if command == "tune" else []
    with pytest.raises(SystemExit) as caught:
        parse([command, "--methods", "clr", *more, "--infer", "gmm"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --infer gmm" in capsys.readouterr().err


def test_a_run_is_repeated_with_its_rules(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    settings, execution, _ = requested(vars(parse(["run", "--methods", "clr", "--infer", "gmm,energy"])))
    assert settings.infer == ("gmm", "energy")
    text = config_text(settings, execution)
    assert 'infer = ["gmm", "energy"]\n' in text
    (tmp_path / "again.toml").write_text(text)
    assert requested(vars(parse(["run", "--config", "again.toml"])))[0] == settings


def test_manifests_of_older_versions_infer_nothing():
    assert Settings(methods=("clr",)).as_json()["infer"] == []
    assert setting_of({}, "infer") == []


def test_a_run_goes_on_with_its_own_rules():
    def manifest(**settings: object) -> dict[str, object]:
        same = {"stream": {"fingerprint": "s"}, "backbone": {"fingerprint": "b"}, "random_numbers": "r"}
        return {"settings": settings, **same}

    check_same(manifest(), manifest(infer=[]), "--name", "x")
    with pytest.raises(UserError, match=r"that run exists with --infer \(none\), not gmm,energy; give the same"):
        check_same(manifest(), manifest(infer=["gmm", "energy"]), "--name", "x")


def test_other_rules_are_no_other_training():
    assert training_mark({"infer": ["gmm"]}, {"infer": []}) == training_mark({"infer": ["gmm"]}, {}) == ""
