"""The script for a GPU, on the CPU with tiny settings: that it works, not its numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
import torch

from benchmark.learning.precision import Precision
from performance import gpu
from performance.evaluations import Cost
from performance.observed import Observed

_DRY = ("--device", "cpu", "--quick")


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        gpu.main([])
    assert ended.value.code == 2
    output = capsys.readouterr()
    assert output.err == (
        "performance.gpu: torch sees no GPU here; run it where there is one, or add --device cpu --quick to try the "
        "script itself\n"
    )
    assert output.out == ""


def test_a_part_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.main([*_DRY, "--parts", "steps,speed"])
    assert ended.value.code == 2
    assert "'steps,speed' must be a list of steps, formats, evaluations, cells" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--methods", "sgd,nosuch"), "nosuch"),
        (("--methods", "er:memori=3"), "memori"),
        (
            ("--networks", "perceptron,resnet18"),
            "'resnet18' must be NAME@PIXELS, as resnet18@64, or perceptron",
        ),
        (("--convolutional", "resnet18@big"), "network 'resnet18@big' must be NAME@PIXELS"),
        (("--json", "/no/such/folder/numbers.json"), "must be a file in a folder that exists"),
    ],
)
def test_what_cannot_be_measured_is_refused_first(
    arguments: tuple[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also what only a later part would use."""
    monkeypatch.setattr(gpu, "_PARTS", dict.fromkeys(gpu._PARTS, ("", lambda *_: pytest.fail("it measures"))))
    with pytest.raises(SystemExit) as ended:
        gpu.main([*_DRY, *arguments])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert ": error: " in last
    assert says in last


def measured(tmp_path: Path, *arguments: str) -> dict[str, list[dict[str, float | str]]]:
    gpu.main([*_DRY, "--json", str(tmp_path / "numbers.json"), *arguments])
    found = json.loads((tmp_path / "numbers.json").read_text())
    assert found["machine"]["torch"] == torch.__version__
    return found["tables"]


def test_every_method_is_set_against_the_bare_loop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    networks = "perceptron,mini@32,no_such_net@224"
    tables = measured(tmp_path, "--parts", "steps", "--methods", "sgd,lwf", "--networks", networks)
    rows = tables["steps"]
    expected = [(network, method) for network in networks.split(",")[:2] for method in ("(bare loop)", "sgd", "lwf")]
    assert [(row["network"], row["method"]) for row in rows] == expected
    for number, row in enumerate(rows):
        bare = rows[number - number % 3]
        assert row["over bare"] == pytest.approx(row["ms/step"] / bare["ms/step"])
        assert row["steps/s"] == pytest.approx(1000 / row["ms/step"])
        assert row["launches"] == row["busy"] == 0, "of a GPU"
    printed = capsys.readouterr().out
    assert "no_such_net@224 is left out: there is no such backbone in this version" in printed
    assert "mini@32" in printed


def test_a_method_that_does_not_suit_a_network_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    harness_steps = gpu.harness_steps

    def refuse(method: str, *arguments: object) -> object:
        if method == "ewc":
            raise ValueError("it has no convolutions")
        return harness_steps(method, *arguments)

    monkeypatch.setattr(gpu, "harness_steps", refuse)
    tables = measured(tmp_path, "--parts", "steps", "--methods", "ewc,sgd", "--networks", "perceptron")
    assert [row["method"] for row in tables["steps"]] == ["(bare loop)", "sgd"]
    assert "ewc on perceptron is left out: ValueError: it has no convolutions" in capsys.readouterr().out


def test_clr_is_measured_in_all_formats_and_precisions(tmp_path: Path) -> None:
    rows = measured(tmp_path, "--parts", "formats", "--convolutional", "mini@32")["formats"]
    formats = ("channels-last", "contiguous")
    assert [(row["precision"], row["format"]) for row in rows] == [
        (precision, memory_format) for precision in get_args(Precision) for memory_format in formats
    ]
    for row in rows:
        assert row["clr / sgd"] == pytest.approx(row["clr, ms/step"] / row["sgd, ms/step"])
        assert 0 < row["operations"] < 1


def test_evaluations_are_those_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(method: str, stream: Path, results: Path, device: str, backbone: str) -> Cost:
        assert (device, backbone) == ("cpu", "mini")
        assert len(list(stream.iterdir())) == 2, "tasks"
        return Cost({"clr": 2, "sgd": 3}[method], training=1.5, evaluation=0.75, total=4.0)

    monkeypatch.setattr(gpu, "run_stream", run)
    clr, sgd = measured(tmp_path, "--parts", "evaluations")["evaluations"]
    assert (clr["method"], clr["evaluations"], clr["ms/evaluation"]) == ("clr", 2, 375)
    assert (sgd["method"], sgd["evaluations"], sgd["ms/evaluation"]) == ("sgd", 3, 250)


def test_what_cells_do_once_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a process takes 9 s to begin, and an epoch of two cells 8 s, or 5 s side by side."""

    def observed(command: Sequence[str]) -> Observed:
        assert command[command.index("--device") + 1] == "cpu"
        epochs = int(command[command.index("--epochs") + 1])
        each = {"1": 8.0, "2": 5.0}[command[command.index("--jobs") + 1]]
        return Observed({"end": 9.0 + each * epochs}, 0)

    monkeypatch.setattr(gpu, "observe", observed)
    alone, together = measured(tmp_path, "--parts", "cells")["cells"]
    assert (alone["cells"], alone["1 epochs, s"], alone["2 epochs, s"]) == ("one after the other", 17, 25)
    assert (alone["throughput"], together["throughput"]) == (1, 1.6)
