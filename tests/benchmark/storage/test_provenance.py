"""Which commit, versions and machine a run says that it has, and when it says nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from benchmark.cli.main import main
from benchmark.machine.gpus import Gpu
from benchmark.storage import processes, provenance
from benchmark.storage.processes import differences, learning_processes
from benchmark.storage.provenance import commit, several

ROOT = Path(__file__).parents[3]

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false")
    result = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return result.stdout.strip()


def place(root: Path) -> Path:
    """What makes a folder that of the project."""
    (root / "benchmark").mkdir(parents=True)
    (root / "benchmark" / "__init__.py").touch()
    shutil.copy(ROOT / "setup.cfg", root)
    return root


def committed(root: Path) -> str:
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "all")
    return git(root, "rev-parse", "HEAD")


@needs_git
def test_a_run_says_the_commit_of_the_checkout_that_it_comes_from():
    root = Path(__file__).parents[3]
    assert provenance.provenance([], "cpu")["commit"] == commit(root)
    assert commit(root / "benchmark") is None


def test_the_commit_of_a_checkout(tmp_path: Path):
    root = place(tmp_path)
    head = committed(root)
    assert commit(root) == head
    (root / "benchmark" / "__init__.py").write_text("changed = True\n")
    assert commit(root) == f"{head}-dirty"


@needs_git
def test_the_repository_around_an_installed_package_is_somebody_elses(tmp_path: Path):
    (tmp_path / "analysis.py").touch()
    committed(tmp_path)
    site = place(tmp_path / "venv" / "lib" / "site-packages")
    assert commit(site) is None
    # Nor if somebody keeps what is installed under version control.
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "venv")
    assert commit(site) is None


@needs_git
@pytest.mark.parametrize("setup", [None, "[metadata]\nname = something-else\n", "no configuration"])
def test_a_package_at_the_top_of_another_project(tmp_path: Path, setup: str | None):
    place(tmp_path)
    (tmp_path / "setup.cfg").unlink()
    if setup:
        (tmp_path / "setup.cfg").write_text(setup)
    committed(tmp_path)
    assert commit(tmp_path) is None


@needs_git
def test_files_that_are_not_tracked_have_no_commit(tmp_path: Path):
    (tmp_path / "mine").touch()
    committed(tmp_path)
    assert commit(place(tmp_path)) is None


@needs_git
def test_a_repository_in_the_environment_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As in a hook of git, which tells commands where its repository is."""
    root = place(tmp_path / "project")
    head = committed(root)
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    assert committed(other) != head
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert commit(root) == head


def test_no_git_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(ROOT) is None


def process(threads: int, left: int, torch: str = "2.15") -> dict[str, Any]:
    return {"hardware": {"threads": threads, "gpus": []}, "versions": {"torch": torch}, "tasks_left": left}


@pytest.mark.parametrize(
    ("entries", "learned", "differ"),
    [
        ([process(2, 6)], [0], {}),
        ([process(2, 6), process(4, 3)], [0, 1], {"hardware.threads": ["2", "4"]}),
        # The second found nothing to learn, or the first learned nothing.
        ([process(2, 6), process(4, 0)], [0], {}),
        ([process(2, 6), process(4, 6)], [1], {}),
        ([process(2, 6), process(4, 0), process(8, 0, "2.16")], [0], {}),
        ([process(2, 6), process(2, 4, "2.16"), process(2, 1)], [0, 1, 2], {"versions.torch": ["2.15", "2.16"]}),
    ],
)
def test_only_processes_that_learned_something_are_compared(
    entries: list[dict[str, Any]], learned: list[int], differ: dict[str, list[str]]
):
    found = learning_processes({"processes": entries})
    assert found == [entries[number] for number in learned]
    assert differences(found) == differ


def test_what_is_known_of_a_machine_starts_no_cuda_context(monkeypatch: pytest.MonkeyPatch):
    def started(*arguments: object) -> None:
        raise AssertionError("this would start a CUDA context")

    for name in ("_lazy_init", "init"):
        monkeypatch.setattr(torch.cuda, name, started)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    gpus = [Gpu("NVIDIA H200", 150 << 30, (9, 0)), Gpu("Tesla T4", 15 << 30, (7, 5))]
    monkeypatch.setattr(provenance, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(provenance, "_driver", lambda: "580.65.06")
    found = provenance.provenance(["run"], "cuda")
    assert found["hardware"]["gpus"] == ["NVIDIA H200", "Tesla T4"]
    assert found["hardware"]["driver"] == "580.65.06"
    assert found["versions"]["cuda"] == torch.version.cuda
    # Major, minor and patch, which torch writes as one number.
    if torch.backends.cudnn.is_available():
        major, minor, patch = map(int, found["versions"]["cudnn"].split("."))
        monkeypatch.undo()
        assert 10000 * major + 100 * minor + patch == torch.backends.cudnn.version()


def test_a_run_on_the_cpu_asks_no_gpu(monkeypatch: pytest.MonkeyPatch):
    def asked() -> None:
        raise AssertionError("this would start a process")

    monkeypatch.setattr(provenance, "visible_gpus", asked)
    assert provenance.machine("cpu")["hardware"]["gpus"] == []


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n", "535.104.05"),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  384.111  Tue Dec 19 23:51:45 PST 2017\n", "384.111"),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.65.06  Release Build  (dvs@U22-I3-H04-01-5)"
            "  Sun Jul 27 07:19:01 UTC 2025\nGCC version:  gcc version 13.3.0 (Ubuntu 13.3.0-6ubuntu2~24.04)\n",
            "580.65.06",
        ),
        ("something else 1.2.3\n", None),
        (None, None),
    ],
)
def test_the_driver(monkeypatch: pytest.MonkeyPatch, text: str | None, version: str | None):
    def read(path: Path) -> str:
        if str(path) != "/proc/driver/nvidia/version" or text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(Path, "read_text", read)
    assert provenance._driver() == version


def test_several_machines_as_one():
    one = {"versions": {"torch": "2.15", "cuda": "13.2"}, "hardware": {"cores": 8, "gpus": ["A", "A"]}}
    other = {"versions": {"torch": "2.15", "cuda": "12.8"}, "hardware": {"cores": 64, "gpus": ["B"]}}
    assert several([one, other, one]) == {
        "versions": {"torch": "2.15", "cuda": ["13.2", "12.8"]},
        "hardware": {"cores": [8, 64], "gpus": ["A", "A", "B", "A", "A"]},
    }
    assert several([one]) == one


@pytest.mark.parametrize(
    ("device", "precision", "tf32"),
    [("cpu", "fp32", False), ("cuda", "fp32", False), ("cuda", "tf32", True), ("cuda", "bf16", False)],
)
def test_a_process_says_on_what_and_whether_in_tf32_it_learns(device: str, precision: str, tf32: bool):
    manifest = provenance.provenance(["run"], "cpu")
    entry = processes.new_process(manifest, device, precision)
    assert (entry["device"], entry["tf32"]) == (device, tf32)
    assert {name: entry[name] for name in manifest} == manifest


@pytest.mark.parametrize(
    ("settings", "entry", "known"),
    [
        # Torch decided about convolutions, and took TF32 where there is a GPU.
        ({"device": "auto", "precision": "fp32"}, {"device": "cuda"}, {"device": "cuda", "tf32": True}),
        ({"device": "auto", "precision": "bf16"}, {"device": "cuda"}, {"device": "cuda", "tf32": False}),
        ({"device": "auto"}, {"hardware": {"gpus": ["A"]}}, {"device": "cuda", "tf32": True}),
        ({"device": "auto"}, {"hardware": {"gpus": []}}, {"device": "cpu", "tf32": False}),
        ({"device": "cpu"}, {"hardware": {"gpus": ["A"]}}, {"device": "cpu", "tf32": False}),
        ({"device": "auto"}, {"hardware": {}}, {}),
        ({"device": "auto", "precision": "fp32"}, {"device": "cuda", "tf32": False}, {"tf32": False}),
    ],
)
def test_what_an_older_version_did_not_write(settings: dict[str, Any], entry: dict[str, Any], known: dict[str, Any]):
    assert learning_processes({"settings": settings, "processes": [entry]}) == [entry | known]


def run(out: Path) -> int:
    least = (
        "--tasks 2 --train-images 20 --test-images 10 --epochs 1 --jobs 1 --methods sgd,linear-probe --name run --out"
    )
    return main(["run", *least.split(), str(out)])


def manifest_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "run" / "manifest.json").read_bytes())


def test_a_run_that_goes_on_elsewhere_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: Callable, one_thread: None
):
    assert run(tmp_path) == 0
    first = manifest_of(tmp_path)
    (begun,) = first["processes"]
    assert begun["tasks_left"] == 4
    assert begun["device"] in ("cpu", "cuda")
    assert (begun["tf32"], begun["workers"]) == (False, 1)
    assert begun["gpus_per_cell"] == (None if begun["device"] == "cpu" else 1)
    for key in ("started", "command", "versions", "commit", "hardware"):
        assert begun[key] == first[key]
    assert pd.read_csv(tmp_path / "run" / "compute.csv")["normalized_seconds"].notna().all()
    before = exact(tmp_path / "run")
    assert "processes that differ" not in (tmp_path / "run" / "summary.md").read_text()

    # The same machine, with nothing to learn, changes nothing that a reader sees.
    monkeypatch.setattr(provenance, "_hardware", lambda: {**begun["hardware"], "threads": 77})
    assert run(tmp_path) == 0
    assert [each["tasks_left"] for each in manifest_of(tmp_path)["processes"]] == [4, 0]
    assert "processes that differ" not in (tmp_path / "run" / "summary.md").read_text()

    (tmp_path / "run" / "cells" / "linear-probe" / "seed-0" / "after-2.json").unlink()
    monkeypatch.setattr(provenance, "_version", lambda name: "99" if name == "torch" else begun["versions"][name])
    assert run(tmp_path) == 0
    last = manifest_of(tmp_path)
    assert [last[key] for key in ("started", "versions", "commit", "hardware")] == [
        first[key] for key in ("started", "versions", "commit", "hardware")
    ]
    assert [each["tasks_left"] for each in last["processes"]] == [4, 0, 1]
    assert last["processes"][-1]["versions"]["torch"] == "99"
    assert last["processes"][-1]["hardware"]["threads"] == 77
    note = (
        f"Learned by 2 processes that differ (versions.torch: {begun['versions']['torch']}, 99; "
        f"hardware.threads: {begun['hardware']['threads']}, 77). `processes` in manifest.json lists them.\n"
    )
    assert (tmp_path / "run" / "summary.md").read_text().endswith(note)
    assert (tmp_path / "run" / "summary.tex").read_text().endswith(f"% {note}")
    assert "What differs between the processes" in (tmp_path / "run" / "report.html").read_text()
    # Seconds of two machines have no ratio; all other numbers are as they were.
    assert exact(tmp_path / "run") == before
    assert pd.read_csv(tmp_path / "run" / "compute.csv")["normalized_seconds"].isna().all()


def test_a_comparison_has_the_processes_of_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert run(tmp_path / "a") == 0
    monkeypatch.setattr(provenance, "commit", lambda root: "c0ffee")
    assert run(tmp_path / "b") == 0
    runs = [str(tmp_path / name / "run") for name in "ab"]
    assert main(["compare", *runs, "--out", str(tmp_path / "c"), "--name", "run"]) == 0
    joined = manifest_of(tmp_path / "c")
    assert [each["run"] for each in joined["processes"]] == runs
    assert joined["processes"][1]["commit"] == "c0ffee"
    assert "commit: " in (tmp_path / "c" / "run" / "summary.md").read_text()
    assert "c0ffee" in (tmp_path / "c" / "run" / "report.html").read_text()
