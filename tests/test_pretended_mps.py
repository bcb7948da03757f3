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
from benchmark.checks.pretended.places import is_on_gpu, tensors_in
from benchmark.checks.subject import MethodSubject, flat
from benchmark.checks.tiny import make_task
from benchmark.learning.evaluation import Choice, answers_among, network_for
from benchmark.streams.base import Stream
from benchmark.streams.columns import in_columns
from benchmark.task_inference.sureness import SURENESS
from methods import methods
from methods.configured import configure
from methods.devices import double, is_gpu, precise
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

    with ExitStack() as stack:
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

            (answers,) = answers_among(choices, task.test, gpu.DEVICE, sureness=SURENESS)
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
