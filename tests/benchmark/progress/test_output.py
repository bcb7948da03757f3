"""The command as a process: closed or full outputs, outputs of few characters, and an impatient user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FULL = "/dev/full"


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of `line`, in which `benchmark` is the command."""
    line = f'benchmark() {{ "{sys.executable}" -m benchmark "$@"; }}; {line}'
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=variables)


@pytest.mark.parametrize("command", ["methods", "streams", "cache", "--help"])
def test_a_closed_output_is_nothing_to_complain_of(command: str):
    done = shell(f"benchmark {command} >&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_any_file_a_command_ends_as_always(tmp_path: Path):
    assert shell("benchmark methods <&- >&- 2>&-").returncode == 0
    assert shell("benchmark methods clrr <&- >&- 2>&-").returncode == 2


@pytest.mark.skipif(not Path(FULL).exists(), reason="there is no file that is always full")
@pytest.mark.parametrize("command", ["methods", "cache", "--help"])
def test_a_full_output_is_one_sentence(command: str):
    done = shell(f"benchmark {command} >{FULL}")
    assert done.returncode == 2
    assert done.stderr == "error: the output cannot be written (No space left on device); give it room\n"
    assert shell(f"benchmark {command} >{FULL} 2>&1").returncode == 2


@pytest.mark.skipif(not Path(FULL).exists(), reason="there is no file that is always full")
def test_what_cannot_be_said_stops_nothing(tmp_path: Path):
    assert shell(f"benchmark methods clrr 2>{FULL}").returncode == 2
    options = "--methods linear-probe --tasks 1 --train-images 20 --test-images 10 --epochs 1 --image-size 8 --jobs 1"
    done = shell(f"benchmark run {options} --out '{tmp_path}' --name run >{FULL} 2>{FULL}")
    assert done.returncode == 2
    assert (tmp_path / "run" / "report.html").exists()
    # All is there, and only has to be shown.
    done = shell(f"benchmark run {options} --quiet --out '{tmp_path}' --name run", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "(x" in done.stdout


def test_who_has_seen_enough_is_no_failure():
    done = shell("benchmark methods | head -n 1; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, "")


IMPATIENT = """
import os, sys, time
from unittest.mock import patch
from benchmark.progress import output as terminal

def main():
    try:
        print("working", flush=True)
        time.sleep(600)
    finally:
        # As workers that take their time to end.
        print("ending", flush=True)
        sys.stdin.read()
        print("ended", flush=True)

with patch("benchmark.cli.main.main", main):
    import runpy
    runpy.run_module("benchmark", run_name="__main__")
"""


def test_ctrl_c_five_times_is_as_once():
    process = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"working\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"ending\n"
    for _ in range(4):
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(b"")
    assert (process.returncode, out, err) == (130, b"ended\n", b"interrupted\n")
