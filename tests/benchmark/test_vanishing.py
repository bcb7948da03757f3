"""Files of a run that somebody removes, or replaces, while it goes on: one sentence, never a success without tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.main import main
from benchmark.running import runner
from benchmark.running.executors import cell_learner
from benchmark.storage.lock import locked

TASKS = 2


@pytest.fixture(autouse=True)
def _quick(quick_report: None, one_thread: None) -> None: ...


def command(out: Path, *options: str, methods: str = "sgd-ll,linear-probe") -> list[str]:
    least = f"--tasks {TASKS} --train-images 20 --test-images 10 --epochs 1 --name run --out"
    return ["run", "--methods", methods, *least.split(), str(out), *(options or ("--jobs", "1"))]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """meanwhile(3, act) -> `act` is done while the third task of the run is learned, in this process."""

    def arrange(nth: int, act: Callable[[], object]) -> None:
        def spy(*arguments: Any) -> Any:
            learned.append(learn(*arguments))
            if len(learned) == nth:
                act()
            return learned[-1]

        learned: list[Any] = []
        learn = cell_learner.learn
        monkeypatch.setattr(cell_learner, "learn", spy)

    return arrange


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    return error[0]


def remove(run: Path) -> None:
    shutil.rmtree(run)


def remove_manifest(run: Path) -> None:
    (run / "manifest.json").unlink()


def empty_manifest(run: Path) -> None:
    (run / "manifest.json").write_bytes(b"")


def another_manifest(run: Path) -> None:
    """That of a run that somebody else has begun there."""
    manifest = json.loads((run / "manifest.json").read_bytes())
    manifest["id"] = "another"
    (run / "manifest.json").write_text(json.dumps(manifest))


def empty(run: Path) -> None:
    """As the folder below which a disk was mounted."""
    shutil.rmtree(run)
    run.mkdir()


def replace_by_a_file(run: Path) -> None:
    shutil.rmtree(run)
    run.write_text("mine")


@pytest.mark.parametrize(
    ("happens", "nth", "parallel"),
    [
        (remove, 1, False),
        (remove, 2, True),
        (remove, 4, False),
        (remove_manifest, 4, False),
        (remove_manifest, 4, True),
        (empty_manifest, 2, False),
        (another_manifest, 4, False),
        (empty, 3, False),
        (replace_by_a_file, 4, False),
    ],
)
def test_the_folder_of_a_run_that_goes_on(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    meanwhile: Callable,
    happens: Callable[[Path], None],
    nth: int,
    parallel: bool,
) -> None:
    run = tmp_path / "run"
    meanwhile(nth, lambda: happens(run))
    assert main(command(tmp_path, "--jobs", "1", *["--parallel-tasks"] * parallel)) == 2
    assert sentence(capsys).startswith(f"error: {run} was removed or replaced while the run went on: ")
    # What was removed is not made again, to be found by the next run of this name.
    assert not (run / "summary.csv").exists()
    if happens in (remove, empty):
        assert not (run / "cells").exists()


@pytest.mark.parametrize(
    ("gone", "nth"),
    [
        ("cells/sgd-ll/seed-0", 2),  # while its second task is learned
        ("cells/sgd-ll/seed-0", 4),  # while another method is learned
        ("cells/sgd-ll/seed-0/after-1.json", 2),
        ("cells/sgd-ll/seed-0/after-2.json", 3),
        ("cells/linear-probe/seed-0", 4),
        ("cells", 4),
    ],
)
def test_a_part_of_a_run_that_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], meanwhile: Callable, exact: Callable, gone: str, nth: int
) -> None:
    assert main(command(tmp_path / "whole")) == 0

    def act() -> None:
        path = tmp_path / "run" / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    meanwhile(nth, act)
    assert main(command(tmp_path)) == 2
    assert "after-" in (said := sentence(capsys))
    assert ".json was there, and is missing; " in said
    # As the sentence says.
    assert main(command(tmp_path)) == 0
    assert exact(tmp_path / "run") == exact(tmp_path / "whole" / "run")


@pytest.mark.parametrize("before", [True, False])
def test_the_folder_while_tables_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    def write(*arguments: Any) -> Any:
        if before:
            remove(tmp_path / "run")
        result = write_report(*arguments)
        remove(tmp_path / "run")
        return result

    write_report = runner.write_report
    monkeypatch.setattr(runner, "write_report", write)
    assert main(command(tmp_path)) == 2
    assert "was removed or replaced while the run went on" in sentence(capsys)


def test_the_folder_of_a_run_with_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import shutil\nfrom pathlib import Path\n"
        "from baselines.sgd_ll import SGDLastLayer\nfrom methods import methods\n\n\n"
        '@methods.register("careless")\nclass Careless(SGDLastLayer):\n    """Removes its run."""\n\n'
        "    def after_training_exp(self, strategy, **kwargs):\n"
        '        run = Path(__file__).parent / "run"\n'
        "        # At once, since the other process writes into it. Without a run, costs are estimated.\n"
        "        if run.exists():\n"
        '            shutil.rmtree(run.rename(run.with_name("removed")), ignore_errors=True)\n'
    )
    options = ("--jobs", "2", "--plugin", str(plugin))
    assert main(command(tmp_path, *options, methods="careless,linear-probe")) == 2
    assert "was removed or replaced while the run went on" in sentence(capsys)
    assert not (tmp_path / "run" / "cells").exists()


@pytest.mark.parametrize("again", ["report", "compare"])
def test_who_reads_a_run_says_what_it_has_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str], again: str) -> None:
    assert main(command(tmp_path)) == 0
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "run", other)
    shutil.rmtree(tmp_path / "run" / "cells" / "sgd-ll")
    told = ["report", str(tmp_path / "run")]
    if again == "compare":
        told = ["compare", str(other), str(tmp_path / "run"), "--out", str(tmp_path), "--name", "both"]
    assert main(told) == 2
    lost = tmp_path / "run" / "cells" / "sgd-ll" / "seed-0" / "after-1.json"
    assert sentence(capsys).startswith(f"error: {lost} was there, and is missing; ")
    assert not (tmp_path / "both").exists()


def test_another_process_keeps_its_lock_in_a_folder_that_took_the_place_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with locked(folder):
        shutil.rmtree(folder)
        folder.mkdir()
        for name in (".lock", ".holder"):
            (folder / name).write_text("theirs")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {".lock": "theirs", ".holder": "theirs"}
