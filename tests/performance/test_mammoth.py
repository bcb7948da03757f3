"""Mammoth itself is not here: a main.py that takes its options and shows its progress bars stands for it."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from benchmark.cli.main import main as command_line
from performance import mammoth, split_mnist
from performance.command import Ended
from performance.mammoth_checkout import Mammoth

# Five tasks at 50, 100, 200, 100, 200 iterations per second with workers, at 400 without. A full bar may come twice:
# first with the speed of the last moments.
_MAIN = r"""
import json, sys
from pathlib import Path

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with open("calls.jsonl", "a") as file:
    print(json.dumps(given), file=file)
for name in ("MNIST", "MyMNIST"):
    assert Path(given["--base_path"], "MNIST", name, "raw", "train-images-idx3-ubyte").is_file()
count = given["--n_iters"]
print("[INFO] 30-Nov-26 11:03:31 - Running Mammoth! on host.")
for task, rate in enumerate((50, 100, 200, 100, 200)[: int(given.get("--stop_after", 5))], 1):
    rate = 400 if "--num_workers" in given else rate
    bar = f"\rTask {task} - Epoch 1: 100%|\u2588\u2588| {count}/{count} [00:01<00:00, "
    sys.stderr.buffer.write(f"\rTask {task} - Epoch 1:  20%|\u258e | 1/{count} [00:00<00:04,  1.66it/s]".encode())
    sys.stderr.buffer.write(f"{bar}999.99it/s, loss=0.1, lr=0.03]{bar}{rate:.2f}it/s, loss=0.1, lr=0.03]\n".encode())
    sys.stderr.buffer.write(b"\rEvaluating Task 1: 100%|##| 9/9 [00:01<00:00, 7.00it/s, acc_task_1=50]\n")
"""


@pytest.fixture
def data(tmp_path: Path, write_mnist: Callable[..., None]) -> Path:
    """Enough images for five iterations of each task."""
    write_mnist(tmp_path / "data" / "MNIST" / "raw", per_class=30)
    return tmp_path / "data"


@pytest.fixture
def checkout(tmp_path: Path) -> Callable[..., Path]:
    """checkout(main) -> a folder with the files of a checkout, and this main.py."""

    def write(main: str = _MAIN) -> Path:
        root = tmp_path / "checkout"
        for name in ("datasets/seq_mnist.py", "backbone/MNISTMLP.py", "main.py"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(main if name == "main.py" else "")
        return root

    return write


def in_process(command: Sequence[str]) -> Ended:
    """Run a command of the benchmark here, where everything is imported."""
    assert list(command[:3]) == [sys.executable, "-m", "benchmark"]
    began = time.perf_counter()
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(said):
        status = command_line(list(command[3:]))
    return Ended(status, said.getvalue(), time.perf_counter() - began)


def test_ratios_are_those_of_the_printed_speeds(
    tables: Callable, checkout: Callable, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout()
    monkeypatch.setattr(split_mnist, "run_command", in_process)
    given = ("--mammoth", str(root), "--data", str(data), "--methods", "er", "--iterations", "5", "--repetitions", "1")
    training, whole = tables(mammoth, *given)
    ((method, theirs, no_workers, bare, ours, *ratios),) = training
    # A task of 100 and one of 200 iterations per second: 7.5 ms per iteration; the first task does not count.
    assert (method, theirs, no_workers) == ("er", 133, 400)
    assert ratios == pytest.approx([ours / 133.33, ours / 400, ours / bare], rel=0.02, abs=0.01)
    ((method, theirs, no_workers, of_command, *ratios),) = whole
    assert (method, len(ratios)) == ("er", 2)
    # Evaluations, tables and figures take most of such a short command.
    assert of_command < ours
    assert min(theirs, no_workers) > 0

    calls = [json.loads(line) for line in (root / "calls.jsonl").read_text().splitlines()]
    check, as_it_comes, alone = calls
    assert (check["--stop_after"], check["--n_iters"]) == ("1", "1")
    for call in (as_it_comes, alone):
        assert call.pop("--base_path") == call.pop("--checkpoint_path")
    assert alone == {**as_it_comes, "--num_workers": "0"}
    assert as_it_comes == {
        **{"--dataset": "seq-mnist", "--model": "er", "--buffer_size": "200", "--lr": "0.03", "--batch_size": "10"},
        **{"--n_epochs": "1", "--fitting_mode": "iters", "--n_iters": "5", "--seed": "0"},
    }


def test_slow_bars_show_seconds(checkout: Callable, data: Path) -> None:
    root = checkout(_MAIN.replace("{rate:.2f}it/s", "1.25s/it"))
    speed = Mammoth(root, sys.executable, data).train(["--model", "sgd"], iterations=7, seed=0)
    assert speed.training == pytest.approx(1.25)
    assert speed.iterations == 5 * 7


def test_a_run_without_bars_is_no_measurement(checkout: Callable, data: Path) -> None:
    root = checkout("print('all silent')")
    with pytest.raises(RuntimeError, match=r"(?s)--model sgd.*all silent"):
        Mammoth(root, sys.executable, data).train(["--model", "sgd"], iterations=7, seed=0)


@pytest.mark.parametrize(
    ("main", "options", "said"),
    [
        (None, (), r"--mammoth \S+ has no main.py; .*checkout of github.com/aimagelab/mammoth"),
        ("", ("--python", "no-such-python"), "--python no-such-python is not there"),
        ("import no_such.package", (), r"--python \S+ has no package no_such,.*install it there"),
        ("raise ValueError('too old')", (), r"--mammoth \S+ fails at its first iteration \(ValueError: too old\)"),
        ("", ("--iterations", "0"), r"--iterations 0 must be at least 1"),
        ("", ("--repetitions", "-1"), r"--repetitions -1 must be at least 1"),
        ("raise SystemExit(7)", (), r"--mammoth \S+ fails at its first iteration \(exit status 7\)"),
    ],
)
def test_what_cannot_run_is_refused_in_one_sentence(
    checkout: Callable,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    main: str | None,
    options: tuple[str, ...],
    said: str,
) -> None:
    root = tmp_path if main is None else checkout(main)
    with pytest.raises(SystemExit) as ended:
        mammoth.main(["--mammoth", str(root), "--data", str(data), *options])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert not out
    assert re.fullmatch(f"error: {said}.*\n", err)
