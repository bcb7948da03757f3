"""Which errors end a worker, and which mean that a GPU has too little memory: texts as torch and CUDA write them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.files import StorageError
from benchmark.learning.strategy import DivergedError
from benchmark.progress.events import Failure
from benchmark.running.executors.failures import failure_of
from methods.errors import UserError

FULL = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.10 GiB of which 4.00 MiB is "
    "free. Including non-PyTorch memory, this process has 79.09 GiB memory in use."
)


def raised(*errors: Exception) -> Failure:
    """The failure of the last error, which was raised while the one before was handled."""
    try:
        _raise(errors)
    except Exception as error:
        return failure_of(error)
    raise AssertionError


def _raise(errors: tuple[Exception, ...]) -> None:
    *before, last = errors
    try:
        if before:
            _raise(tuple(before))
    except Exception:
        raise last from None
    raise last


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nSearch for it"),
        torch.AcceleratorError("unknown"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
        RuntimeError("cuDNN Frontend error: [cudnn_frontend] Error: No valid execution plans built."),
        RuntimeError("CUDA driver error: device-side assert triggered"),
        RuntimeError("cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`"),
        RuntimeError("cuFFT error: CUFFT_EXEC_FAILED"),
        RuntimeError("Triton Error [CUDA]: misaligned address"),
        RuntimeError("HIP error: invalid device function"),
    ],
)
def test_after_an_error_of_the_gpu_a_process_cannot_use_it(error: Exception):
    failure = raised(error)
    assert (failure.broken, failure.memory) == (True, False)
    assert failure.cause == f"{type(error).__name__}: {error}".splitlines()[0]
    hidden = raised(error, ValueError("no label"), KeyError("x"))
    assert (hidden.broken, hidden.cause) == (True, failure.cause)
    assert "KeyError" in hidden.traceback


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (torch.OutOfMemoryError(FULL), "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB"),
        (torch.AcceleratorError("CUDA error: out of memory\nSearch"), "AcceleratorError: CUDA error: out of memory"),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        ),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
            "RuntimeError: cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        ),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
            "RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        ),
        (
            RuntimeError("GET was unable to find an engine to execute this computation"),
            "RuntimeError: GET was unable to find an engine to execute this computation",
        ),
    ],
)
def test_too_little_memory_is_noticed(error: Exception, says: str):
    for failure in (raised(error), raised(error, ValueError("no batch"))):
        assert (failure.broken, failure.memory) == (False, True)
        assert failure.cause == f"{says}; a smaller --batch-size needs less memory"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "RuntimeError: mat1 and mat2 shapes cannot be "),
        (IndexError("index 9 is out of bounds"), "IndexError: index 9 is out of bounds"),
        (ValueError("CUDA error rates are not known"), "ValueError: CUDA error rates are not known"),
        (UserError("--backbone: no"), "--backbone: no"),
        (DivergedError("the loss is nan"), "the loss is nan"),
        (StorageError("results: no room"), "results: no room"),
    ],
)
def test_other_errors_leave_the_gpu_as_it_is(error: Exception, cause: str):
    failure = raised(error)
    assert (failure.broken, failure.memory) == (False, False)
    assert failure.cause.startswith(cause)


def test_an_error_that_the_gpu_has_not_told_yet_is_noticed(monkeypatch: pytest.MonkeyPatch):
    def wait() -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered\nSearch for it")

    monkeypatch.setattr("torch.cuda.synchronize", wait)
    assert not raised(ValueError("no label")).broken, "without a GPU in use, nobody is asked"
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    failure = raised(ValueError("no label"))
    assert failure.broken
    assert failure.cause == "AcceleratorError: CUDA error: device-side assert triggered"
    assert "no label" in failure.traceback
    monkeypatch.setattr("torch.cuda.synchronize", lambda: None)
    assert not raised(ValueError("no label")).broken


def test_older_versions_of_torch_have_no_type_for_errors_of_the_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(torch, "AcceleratorError", raising=False)
    assert not raised(ValueError("no label")).broken
    assert raised(RuntimeError("CUDA error: device-side assert triggered")).broken


WRONG = """
from methods.errors import UserError
from methods.method import Method


class Wrong(Method):
    def loss(self, images):
        return deeper(images)

    def refuse(self, images):
        raise UserError("--methods wrong: it cannot be used")


def deeper(images):
    return images @ images
"""


@pytest.fixture
def wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A method with a mistake, from a file of its own."""
    (tmp_path / "wrong_method.py").write_text(WRONG, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("wrong_method").Wrong()
    del sys.modules["wrong_method"]


def cause_of(hook: Callable[[torch.Tensor], object]) -> str:
    try:
        hook(torch.zeros(2, 3))
    except Exception as error:
        return failure_of(error).cause
    raise AssertionError


def test_a_mistake_in_a_method_is_named_with_its_file_and_line(wrong: Any, tmp_path: Path) -> None:
    cause = cause_of(wrong.loss)
    line = WRONG.splitlines().index("    return images @ images") + 1
    assert "mat1 and mat2 shapes cannot be multiplied" in cause
    assert cause.endswith(f", in loss ({tmp_path / 'wrong_method.py'}, line {line})")


def test_what_a_method_refuses_is_said_as_it_is(wrong: Any) -> None:
    assert cause_of(wrong.refuse) == "--methods wrong: it cannot be used"
