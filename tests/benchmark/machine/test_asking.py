"""A function that uses a GPU is called in another process."""

from __future__ import annotations

import multiprocessing
import os

import pytest
import torch

from benchmark.machine.asking import ask
from methods.errors import UserError


def test_another_process_is_asked():
    assert ask(os.getpid) != os.getpid()
    assert ask(int, "11", base=2) == 3
    assert ask(torch.cuda.is_initialized) is False
    assert multiprocessing.active_children() == []


def test_what_goes_wrong_in_the_other_process_is_one_sentence():
    cause = r"^--device cuda: torch cannot use the GPU here \({}.*\); use --device cpu$"
    with pytest.raises(
        UserError, match=cause.format("BrokenProcessPool: A process in the process pool was terminated")
    ):
        ask(os._exit, 3)
    with pytest.raises(UserError, match=cause.format("RuntimeError: ")):
        ask(torch.empty, -1)
