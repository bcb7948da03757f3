"""Workers obey the process that started them, and do not outlive it."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

from benchmark.executors.server import begin_worker, context


def test_ctrl_c_is_left_to_the_process_that_waits():
    with ProcessPoolExecutor(1, mp_context=context(), initializer=begin_worker) as workers:
        assert workers.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN


KILLED = """
import time
from concurrent.futures import ProcessPoolExecutor
from benchmark.executors.server import begin_worker, context
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
from benchmark.executors.server import context, warm_up
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
