"""What a run that goes on must have in common with its beginning, and what is only told."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.main import main
from benchmark.running.manifest import check_same
from benchmark.running.resume import check_device, difference_warning
from benchmark.storage import provenance
from methods import methods
from methods.errors import UserError

PLUGIN = """
from baselines.linear_probe import LinearProbe
from methods import methods


@methods.register("mine")
class Mine(LinearProbe):
    '''A linear probe.'''
"""


def process(left: int, device: str = "cpu", threads: int = 2, torch: str = "2.15") -> dict[str, Any]:
    return {
        "tasks_left": left,
        "device": device,
        "versions": {"torch": torch},
        "commit": None,
        "hardware": {"threads": threads, "gpus": []},
    }


@pytest.mark.parametrize(
    ("before", "now", "asked", "refused"),
    [
        ([], process(4, "cuda"), "auto", False),
        ([process(4)], process(2), "auto", False),
        ([process(4)], process(2, "cuda"), "auto", True),
        ([process(4)], process(2, "cuda"), "cuda", False),
        ([process(4, "cuda")], process(2), "auto", True),
        ([process(4, "cuda")], process(2), "cpu", False),
        # It has learned nothing.
        ([process(4, "cuda")], process(4), "auto", False),
        # It went on elsewhere before, as somebody wanted.
        ([process(4, "cuda"), process(3)], process(2), "auto", False),
    ],
)
def test_a_run_does_not_go_on_on_another_kind_of_device_without_a_word(
    before: list[dict[str, Any]], now: dict[str, Any], asked: str, refused: bool
):
    manifest = {"processes": [*before, now]}
    if not refused:
        check_device(manifest, now, asked, "mine")
        return
    old, new = before[0]["device"], now["device"]
    with pytest.raises(UserError) as caught:
        check_device(manifest, now, asked, "mine")
    assert str(caught.value) == (
        f"--name mine: that run was learned with --device {old}, and --device auto means {new} here; "
        f"add --device {new} to go on with it all the same, or give another --name"
    )


@pytest.mark.parametrize(
    ("before", "now", "listed"),
    [
        ([], process(4), ""),
        ([process(4)], process(2), ""),
        ([process(4)], process(2, torch="2.16"), "versions.torch: 2.15, now 2.16"),
        (
            [process(4), process(3, threads=4)],
            process(2, "cuda", threads=8),
            "device: cpu, now cuda; hardware.threads: 2, 4, now 8",
        ),
        # As one of those before, or as none that has learned anything.
        ([process(4), process(3, threads=4)], process(2, threads=4), ""),
        ([process(4, threads=4)], process(4), ""),
    ],
)
def test_what_is_different_is_told(before: list[dict[str, Any]], now: dict[str, Any], listed: str):
    text = difference_warning({"processes": [*before, now]}, now, "mine")
    start = "--name mine: what is learned now may differ from what it would be where the run began "
    assert text == (f"{start}({listed})" if listed else "")


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_report: None, one_thread: None) -> Callable[..., int]:
    """go("--plugin", "mine.py") -> the exit status of a run called "run" in this folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(methods, "_entries", dict(methods._entries))
    (tmp_path / "mine.py").write_text(PLUGIN)
    least = "--tasks 2 --train-images 20 --test-images 10 --epochs 1 --jobs 1 --name run --out . --methods"

    def start(*more: str, names: str = "linear-probe") -> int:
        return main(["run", *least.split(), names, *more])

    return start


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {},
            "what folder:x holds has changed since, or this version reads its images in another way; restore the "
            "stream",
        ),
        ({"resize": "squeeze"}, "what folder:x holds has changed since; restore the stream, or give another --name"),
    ],
    ids=["a version that did not turn photos", "this version"],
)
def test_images_that_are_read_in_another_way_are_other_images(settings: dict[str, str], says: str):
    old = {"settings": settings, "stream": {"spec": "folder:x", "fingerprint": "a"}, "backbone": {"fingerprint": "b"}}
    new = {**old, "settings": {"resize": "squeeze"}, "stream": {"spec": "folder:x", "fingerprint": "c"}}
    with pytest.raises(UserError, match=re.escape(says)):
        check_same(old, new, "--name", "run")


def test_a_plugin_that_has_changed_is_refused(go: Callable[..., int], tmp_path: Path, capsys: Any):
    begin = ("--plugin", "mine.py")
    assert go(*begin, names="mine") == 0
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["plugins"] == [{"file": "mine.py", "sha256": hashlib.sha256(PLUGIN.encode()).hexdigest()}]
    # The same file may have been moved, and others may come.
    (tmp_path / "moved").mkdir()
    Path("moved/mine.py").write_text(PLUGIN)
    Path("other.py").touch()
    assert go("--plugin", "moved/mine.py", "--plugin", "other.py", names="mine") == 0
    before = Path("run/manifest.json").read_bytes()
    capsys.readouterr()

    Path("mine.py").write_text(PLUGIN + "    shared_head = True\n")
    assert go(*begin, names="mine") == 2
    assert capsys.readouterr().err == (
        "error: --name run: that run exists, but --plugin mine.py has changed since; restore the file, or give another "
        "--name\n"
    )
    assert Path("run/manifest.json").read_bytes() == before


def test_another_default_is_of_the_file_that_has_it(go: Callable[..., int], tmp_path: Path, capsys: Any):
    options = "    recipe = Recipe(lr=0.5)\n\n    def __init__(self, strength: float = 1.0):\n        "
    options += "super().__init__()\n        self.strength = strength\n"
    text = f"from methods import Recipe\n{PLUGIN}\n{options}"
    Path("mine.py").write_text(text)
    assert go("--plugin", "mine.py", names="mine") == 0
    for old, new, before, now in (
        ("= 1.0", "= 2.0", "strength=1.0", "strength=2.0"),
        ("=0.5", "=0.25", "lr=0.5", "lr=0.25"),
    ):
        Path("mine.py").write_text(text.replace(old, new))
        capsys.readouterr()
        assert go("--plugin", "mine.py", names="mine") == 2
        assert capsys.readouterr().err == (
            f"error: --name run: that run learned 'mine' with {before}, and mine.py, which has changed since, has "
            f"another default, {now}; write the old one there again, or give another --name\n"
        )


def test_a_run_of_an_older_version_goes_on_with_its_plugin(go: Callable[..., int], tmp_path: Path):
    assert go("--plugin", "mine.py", names="mine") == 0
    manifest = json.loads(Path("run/manifest.json").read_text())
    del manifest["plugins"]
    Path("run/manifest.json").write_text(json.dumps(manifest))
    Path("mine.py").write_text(PLUGIN + "\n")
    assert go("--plugin", "mine.py", names="mine") == 0
    found = json.loads(Path("run/manifest.json").read_text())["plugins"]
    assert found == [{"file": "mine.py", "sha256": hashlib.sha256(f"{PLUGIN}\n".encode()).hexdigest()}]


def test_what_differs_is_told_once_before_anything_is_learned(
    go: Callable[..., int], capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    assert go() == 0
    (begun,) = json.loads(Path("run/manifest.json").read_text())["processes"]
    monkeypatch.setattr(provenance, "_hardware", lambda: {**begun["hardware"], "threads": 77})
    capsys.readouterr()
    assert go() == 0
    assert "warning" not in capsys.readouterr().err, "there is nothing to learn"

    next(Path("run/cells").rglob("after-2.json")).unlink()
    # The word for the same device is no other setting.
    assert go("--device", begun["device"]) == 0
    told = "warning: --name run: what is learned now may differ from what it would be where the run began "
    assert capsys.readouterr().err.count(f"{told}(hardware.threads: {begun['hardware']['threads']}, now 77)") == 1


def test_another_device_is_refused_before_anything_is_touched(go: Callable[..., int], capsys: Any):
    assert go() == 0
    manifest = json.loads(Path("run/manifest.json").read_text())
    manifest["processes"][0]["device"] = "tpu"
    Path("run/manifest.json").write_text(json.dumps(manifest))
    next(Path("run/cells").rglob("after-2.json")).unlink()
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert go() == 2
    assert "that run was learned with --device tpu, and --device auto means " in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before


def test_a_run_that_was_killed_before_its_options_were_written_goes_on(
    go: Callable[..., int], monkeypatch: pytest.MonkeyPatch
):
    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("benchmark.running.runner.write_config", killed)
        assert go() == 130
    # Without its manifest, what is there would be somebody else's.
    assert Path("run/manifest.json").exists()
    assert go() == 0
    assert Path("run/config.toml").exists()


def test_a_run_goes_on_in_its_memory_format_only(go: Callable[..., int], capsys: Any):
    assert go("--memory-format", "contiguous") == 0
    assert json.loads(Path("run/manifest.json").read_text())["settings"]["memory_format"] == "contiguous"
    capsys.readouterr()
    assert go() == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith(
            "--name run: that run exists with --memory-format contiguous, not channels-last; give the same settings to "
            "resume it, or another --name"
        )
    )
    assert go("--memory-format", "contiguous") == 0


def test_a_run_of_a_version_that_did_not_know_a_setting_has_its_default(go: Callable[..., int], capsys: Any):
    assert go() == 0
    path = Path("run/manifest.json")
    manifest = json.loads(path.read_text())
    assert manifest["settings"].pop("memory_format") == "channels-last"
    path.write_text(json.dumps(manifest))
    assert go() == 0
    capsys.readouterr()
    assert go("--memory-format", "contiguous") == 2
    assert "that run exists with --memory-format channels-last, not contiguous" in capsys.readouterr().err


def test_a_run_does_not_go_on_with_another_default_of_a_method(go: Callable[..., int], capsys: Any):
    assert go() == 0
    manifest = json.loads(Path("run/manifest.json").read_text())
    (label,) = manifest["methods"]
    lr = manifest["methods"][label]["recipe"]["lr"]
    manifest["methods"][label]["recipe"]["lr"] = lr / 2
    Path("run/manifest.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert go() == 2
    said = capsys.readouterr().err
    assert f"that run learned '{label}' with lr={lr / 2}, and this version of the program has another default, " in said
    # A version that did not write them can go on.
    del manifest["methods"]
    Path("run/manifest.json").write_text(json.dumps(manifest))
    assert go() == 0
