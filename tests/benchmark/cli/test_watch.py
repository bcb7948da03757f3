"""`watch`: printed once, or drawn again and again until the run has ended."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.cli import watch
from benchmark.cli.main import main
from benchmark.files import HOLDER
from benchmark.storage.folder import RunFolder
from benchmark.storage.json_files import read_json


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def finished(class_run, tmp_path: Path) -> Path:
    """A run of er and clr in the folder "run"."""
    return class_run.manifest().path


def change(folder: Path, status: str, cause: str | None = None) -> None:
    """Give a run and its first cell another status."""
    run = RunFolder(folder)
    manifest = read_json(run.manifest_path)
    manifest["status"] = status
    manifest["finished"] = None if status == "running" else manifest["started"]
    manifest["cells"][0] |= {"status": status, "cause": cause}
    run.write_manifest(manifest)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """drawn(folder, step, ...) -> the exit status and the text on a terminal, where each wait does the next step."""

    def start(folder: Path, *steps: Callable[[], object]) -> tuple[int, str]:
        def wait(seconds: float) -> None:
            assert 1 <= seconds <= 10
            next(left)()

        left: Iterator[Callable[[], object]] = iter(steps)
        screen = Terminal()
        with monkeypatch.context() as patched:
            patched.setattr(watch.time, "sleep", wait)
            patched.setattr(sys, "stdout", screen)
            patched.setenv("COLUMNS", "100")
            patched.setenv("LINES", "30")
            status = main(["watch", str(folder)])
        assert next(left, None) is None
        return status, screen.getvalue()

    return start


def interrupt() -> None:
    raise KeyboardInterrupt


def files(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("going", [False, True])
def test_where_nobody_looks_it_is_printed_once(
    finished: Path, going: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch.time, "sleep", pytest.fail)
    if going:
        change(finished, "running")
        (finished / HOLDER).touch()
    before = files(finished.parent)
    assert main(["watch", str(finished)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("two on mini\ngoing on for " if going else "two on mini\nsucceeded after 1 h; 4 of 4 ")
    assert err == ""
    assert files(finished.parent) == before


def test_a_run_by_its_name(finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (finished.parent / "results").mkdir()
    finished.rename(finished.parent / "results" / "mine")
    monkeypatch.chdir(finished.parent)
    assert main(["watch", "mine"]) == 0
    assert "succeeded" in capsys.readouterr().out


def test_it_is_drawn_until_the_run_has_ended(finished: Path, drawn: Callable) -> None:
    change(finished, "running")
    (finished / HOLDER).touch()

    def ends() -> None:
        change(finished, "failed", "RuntimeError: out of luck")
        (finished / HOLDER).unlink()

    status, text = drawn(finished, lambda: None, ends)
    assert status == 0
    assert "going on for" in text
    assert "failed after 0 s; 4 of 4 tasks learned" in text
    assert "er, seed 0 failed: RuntimeError: out of luck" in text


def test_a_finished_run_is_not_waited_for(finished: Path, drawn: Callable) -> None:
    status, text = drawn(finished)
    assert status == 0
    assert text.startswith("two on mini\nsucceeded after ")


def test_a_run_that_is_prepared_is_waited_for(finished: Path, drawn: Callable) -> None:
    manifest = finished / "manifest.json"
    content = manifest.read_bytes()
    manifest.unlink()
    (finished / HOLDER).touch()

    def ends() -> None:
        manifest.write_bytes(content)
        (finished / HOLDER).unlink()

    status, text = drawn(finished, ends)
    assert status == 0
    assert "run: being prepared" in text
    assert "succeeded after " in text


def test_ctrl_c_ends_the_view_and_not_the_run(
    finished: Path, drawn: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    change(finished, "running")
    (finished / HOLDER).touch()
    before = files(finished)
    status, _ = drawn(finished, interrupt)
    assert status == 130
    assert capsys.readouterr().err == ""
    assert files(finished) == before


def test_what_cannot_be_read_for_a_moment_is_read_again(
    finished: Path, drawn: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(finished, "running")
    (finished / HOLDER).touch()
    real = RunFolder.read_manifest
    stale = [False, True, True, False]

    def read(run: RunFolder) -> object:
        if stale.pop(0):
            raise OSError(116, "Stale file handle", "manifest.json")
        return real(run)

    monkeypatch.setattr(RunFolder, "read_manifest", read)
    status, _ = drawn(finished, lambda: None, lambda: None, lambda: None, interrupt)
    assert status == 130
    assert stale == []


def test_a_folder_that_is_removed_meanwhile_is_told(
    finished: Path, drawn: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    change(finished, "running")
    (finished / HOLDER).touch()
    waits = [lambda: None] * (watch._PATIENCE - 1)
    status, _ = drawn(finished, lambda: shutil.rmtree(finished), *waits)
    assert status == 2
    assert capsys.readouterr().err == f"error: {finished} is not a run folder: it holds no manifest.json\n"


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    assert main(["watch", str(tmp_path / "mine")]) == 2
    assert main(["watch", str(tmp_path / "none")]) == 2
    (tmp_path / "mine" / "manifest.json").write_text("{")
    assert main(["watch", str(tmp_path / "mine")]) == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == f"error: {tmp_path / 'mine'} is not a run folder: it holds no manifest.json"
    assert second == f"error: watch: there is no run folder {tmp_path / 'none'}; give its path, or its name in results/"
    assert third.startswith(f"error: {tmp_path / 'mine' / 'manifest.json'} is damaged: ")
