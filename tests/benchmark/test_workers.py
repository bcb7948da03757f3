"""Workers obey the process that started them, and do not outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from benchmark.workers import begin_worker, context, short_folder
from methods.errors import UserError


def test_ctrl_c_is_left_to_the_process_that_waits():
    with ProcessPoolExecutor(1, mp_context=context(), initializer=begin_worker) as workers:
        assert workers.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN


KILLED = """
import time
from concurrent.futures import ProcessPoolExecutor
from benchmark.workers import begin_worker, context
workers = ProcessPoolExecutor(1, mp_context=context(), initializer=begin_worker)
workers.submit(time.sleep, 0).result()
workers.submit(time.sleep, 3600)
print("working", flush=True)
time.sleep(3600)
"""


def test_workers_end_with_a_process_that_is_killed():
    # Workers share their parent's output, so its end comes when the last of them is gone.
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"working\n"
    process.kill()
    assert process.communicate(timeout=300)[0] == b""


INTERRUPTED = """
import os, signal
from multiprocessing import forkserver
from unittest.mock import patch
from benchmark.workers import context, warm_up
# It imports nothing, which would only take time.
with patch.object(context(), "set_forkserver_preload"):
    warm_up()
os.kill(forkserver._forkserver._forkserver_pid, signal.SIGINT)
process = context().Process(target=print, args=("working",))
process.start()
process.join()
os.kill(os.getpid(), signal.SIGINT)
"""


def test_ctrl_c_does_not_end_a_server_that_has_just_been_started():
    process = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert process.stdout == "working\n"
    # This process itself can be interrupted as before.
    assert process.returncode == -signal.SIGINT
    assert process.stderr.count("Traceback") == 1


WORKER = """
import os, tempfile
from benchmark.workers import context
process = context().Process(target=print, args=("working",))
process.start()
process.join()
print(tempfile.gettempdir() == os.environ["TMPDIR"])
"""


def test_the_folder_of_temporary_files_may_have_a_long_name(tmp_path: Path):
    long = tmp_path / (200 * "x")
    long.mkdir()
    environment = {**os.environ, "TMPDIR": str(long)}
    process = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, env=environment)
    # All that is no socket stays where the user wants it.
    assert (process.stdout, process.stderr) == ("working\nTrue\n", "")
    assert list(long.iterdir()) == []


def test_a_short_folder_is_the_usual_one_if_it_can_be(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert short_folder(4) == "/tmp"
    monkeypatch.setattr(tempfile, "tempdir", f"/{200 * 'x'}")
    assert short_folder(4) == "/tmp"
    with pytest.raises(UserError) as caught:
        short_folder(3)
    assert str(caught.value) == (
        f"TMPDIR /{200 * 'x'} is too long for the sockets of worker processes; set it to a folder with a name of at "
        "most 3 bytes"
    )
