"""Every method on a pretended GPU of Apple's, which has no double precision. None of the tests needs such a machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
import torch

from benchmark.checks import gpu
from benchmark.checks.pretended import cuda, functions, places
from benchmark.checks.pretended.operators import Operators
from benchmark.checks.pretended.places import is_on_gpu, is_pinned, tensors_in
from benchmark.checks.subject import MethodSubject, flat
from benchmark.checks.tiny import make_task
from benchmark.images.batches import image_batches
from benchmark.learning.clock import Clock
from benchmark.learning.evaluation import Choice, answers_among, network_for
from benchmark.learning.precision import check_precision, computes_bfloat16, precision_warnings
from benchmark.learning.training import make_optimizer
from benchmark.planning.preparation import choose_device
from benchmark.running.executors.failures import failure_of
from benchmark.streams.base import Stream
from benchmark.streams.columns import in_columns
from benchmark.task_inference.sureness import SURENESS
from methods import methods
from methods.configured import configure
from methods.devices import double, is_gpu, precise
from methods.errors import UserError
from methods.scenarios import Scenario

MPS = torch.device("mps", 0)


@contextmanager
def pretended_mps() -> Iterator[None]:
    """In the block the pretended GPU is one of Apple's, which refuses float64 as torch does."""
    dispatch = Operators.__torch_dispatch__

    def refusing(mode: Operators, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = dispatch(mode, func, types, args, kwargs)
        for tensor in tensors_in(result):
            if tensor.dtype == torch.float64 and is_on_gpu(tensor):
                raise TypeError(f"{func}: the MPS framework doesn't support float64. Please use float32 instead.")
        return result

    copy = Operators.copy

    def waiting(mode: Operators, source: torch.Tensor, to_gpu: bool, into_pinned: bool, non_blocking: bool) -> None:
        if non_blocking or is_pinned(source):
            raise AssertionError("such a copy may be made after its memory is used again")
        copy(mode, source, to_gpu, into_pinned, non_blocking)

    with ExitStack() as stack:
        stack.enter_context(patch.object(Operators, "copy", waiting))
        for module in (places, functions, cuda):
            stack.enter_context(patch.object(module, "GPU", MPS))
        stack.enter_context(patch.object(gpu, "DEVICE", torch.device("mps")))
        stack.enter_context(patch.object(Operators, "__torch_dispatch__", refusing))
        yield


def subject(spec: str) -> MethodSubject:
    tasks = tuple(make_task(number, classes, 8, train=24) for number, classes in ((1, 3), (2, 2), (3, 4)))
    scenario: Scenario = "task" if "task" in configure(spec).cls.scenarios else "class"
    return MethodSubject(configure(spec), in_columns(Stream("tiny", tasks), scenario).tasks, scenario)


@pytest.mark.parametrize("name", [name for name in methods.names() if name != "avalanche"])
def test_every_method_learns_and_answers(name: str) -> None:
    """Without double precision there, on one device, and about as on the CPU."""
    made = subject(name)
    cell = made.cell()
    expected = flat(made.states[-1])
    with pretended_mps(), cuda.pretended_gpu(strict=False) as log:
        state = gpu.learn_on_gpu(cell, made.tasks, made.training(), log)[-1].state
        there = replace(cell, device=gpu.DEVICE)
        for number, task in enumerate(made.tasks, 1):
            network = network_for(there, state, number, len(task.classes))

            def choices(images: torch.Tensor, network: Any = network) -> list[Choice]:
                return [Choice(network(images), measured=True)]

            (answers,) = answers_among(choices, image_batches(task.test, gpu.DEVICE), gpu.DEVICE, sureness=SURENESS)
            assert set(answers.sureness) == set(SURENESS)
    found = flat(state)
    assert {key: (tensor.shape, tensor.dtype) for key, tensor in found.items()} == {
        key: (tensor.shape, tensor.dtype) for key, tensor in expected.items()
    }
    assert not any(map(is_on_gpu, found.values()))
    if not made.method.cls.learns_in_steps:
        # Computed with the same operations, in double precision on the CPU.
        assert all(torch.equal(tensor, expected[key]) for key, tensor in found.items())


def test_double_precision_is_on_the_cpu_where_the_gpu_has_none() -> None:
    cpu, cuda_gpu = torch.device("cpu"), torch.device("cuda", 1)
    assert [precise(device) for device in (cpu, cuda_gpu, MPS)] == [cpu, cuda_gpu, cpu]
    assert [is_gpu(device) for device in (cpu, cuda_gpu, MPS, torch.device("meta"))] == [False, True, True, False]
    third = torch.tensor([1 / 3])
    with pretended_mps(), cuda.pretended_gpu(strict=False):
        there = third.to("mps")
        assert there.device == MPS
        with pytest.raises(TypeError, match="float64"):
            there.double()
        assert (double(there).device, double(there).dtype) == (cpu, torch.float64)
        assert torch.equal(double(there), third.double())


def test_the_clock_waits_for_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = list[str]()
    monkeypatch.setattr("torch.mps.synchronize", lambda: waits.append("mps"))
    clock = Clock(MPS)
    assert waits == ["mps"]
    clock.read()
    assert waits == ["mps", "mps"]


@pytest.mark.parametrize("steps", [("flip", "crop", "resized-crop"), ()])
def test_images_are_copied_before_the_next_ones_are_read(steps: tuple[str, ...]) -> None:
    made = subject("er")
    with pretended_mps(), cuda.pretended_gpu(strict=False) as log:
        gpu.learn_on_gpu(made.cell(), made.tasks, made.training(augment=steps), log)


def test_it_is_used_only_where_it_is_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for there in (True, False):
        monkeypatch.setattr("torch.backends.mps.is_available", lambda there=there: there)
        # No number of a run changes because a machine has such a GPU.
        assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(UserError) as caught:
        choose_device("mps")
    assert str(caught.value) == "--device mps: torch sees no GPU of Apple's (Metal) here; use --device cpu, or auto"
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert choose_device("mps") == torch.device("mps")


def test_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    check_precision("fp32", MPS)
    with pytest.raises(UserError) as caught:
        check_precision("tf32", MPS)
    assert str(caught.value) == (
        "--precision tf32: this run computes on a GPU of Apple's, and only those of CUDA have TF32; use --precision "
        "fp32, or a GPU of CUDA"
    )
    for new in (True, False):
        monkeypatch.setattr("torch.backends.mps.is_macos_or_newer", lambda major, minor, new=new: new)
        # Since macOS 14.
        assert computes_bfloat16(MPS) == new
        assert bool(precision_warnings("bf16", MPS)) != new


def test_full_memory_is_told_as_such() -> None:
    error = RuntimeError(
        "MPS backend out of memory (MPS allocated: 17.94 GB, other allocations: 1.02 MB, max allowed: 18.13 GB). "
        "Tried to allocate 256.00 MB on private pool."
    )
    try:
        raise error
    except RuntimeError:
        failure = failure_of(error)
    assert failure.memory
    assert failure.cause.endswith("; a smaller --batch-size needs less memory")


def test_weights_are_updated_one_by_one() -> None:
    """Torch has no kernel for all at once on such a GPU, and refuses to be told to use one."""
    weight = torch.nn.Parameter(torch.zeros(2))
    for name in ("sgd", "adam", "adamw", "rmsprop"):
        made = make_optimizer([weight], replace(configure("sgd").recipe, optimizer=name), MPS)
        assert not made.defaults.get("fused")
        assert not made.defaults.get("foreach")
