"""The counter of operations: what it sees, and what it leaves alone. test_operations.py has counts made by hand."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn
from torch.func import grad, vmap
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry, register_flop_formula

from benchmark.learning.counter import OperationCounter

A, B = torch.ones(2, 3), torch.ones(3, 5)


def test_an_operator_is_counted_without_what_it_calls():
    """On the CPU a convolution calls another one, and in evaluation attention calls matrix products."""
    with OperationCounter() as counter:
        nn.Conv2d(3, 4, 3)(torch.ones(2, 3, 8, 8))
    assert counter.get_total_flops() == 2 * 2 * 36 * 4 * 27


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_products_are_counted_with_and_without_autograd(context):
    with context(), OperationCounter() as counter:
        nn.Linear(3, 5)(A)
        A @ B
    assert counter.get_total_flops() == 2 * (2 * 2 * 3 * 5)


def test_attention_is_two_products():
    queries = torch.ones(1, 2, 7, 4)
    with OperationCounter() as counter:
        scaled_dot_product_attention(queries, queries, queries)
    assert counter.get_total_flops() == 2 * (2 * 2 * 7 * 7 * 4)


def test_per_sample_gradients_are_counted():
    """The gradient by the weight of 6 samples: forward 6 x 3 x 5, backward the same, since the images need none."""

    def loss(weight: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        return (weight @ image).square().sum()

    with OperationCounter() as counter, FlopCounterMode(display=False) as torchs:
        vmap(grad(loss), in_dims=(None, 0))(torch.ones(5, 3), torch.ones(6, 3, 1))
    assert counter.get_total_flops() == torchs.get_total_flops() == 2 * (2 * 6 * 3 * 5)


def test_the_backward_pass_in_torchs_threads_is_counted():
    """Autograd of a GPU runs in threads of its own; here the whole pass does."""
    weight = torch.ones(3, 5, requires_grad=True)
    with OperationCounter() as counter:
        thread = threading.Thread(target=lambda: (A @ weight).sum().backward())
        thread.start()
        thread.join()
    assert counter.get_total_flops() == 2 * (2 * 2 * 3 * 5)


def test_counters_may_be_nested():
    with OperationCounter() as outer:
        with OperationCounter() as inner:
            A @ B
        A @ B
    A @ B
    assert (inner.get_total_flops(), outer.get_total_flops()) == (60, 120)


def test_only_operators_that_count_are_passed_through_python():
    """A dispatch mode would pass all through it. After the block nothing is passed through it any more."""

    def kernels() -> set[str]:
        has = torch._C._dispatch_has_kernel_for_dispatch_key
        return {
            name
            for name in ("aten::mm", "aten::convolution", "aten::relu", "aten::add.Tensor")
            if has(name, "BackendSelect")
        }

    with OperationCounter():
        assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
        assert kernels() == {"aten::mm", "aten::convolution"}
    assert not kernels()


def test_an_error_in_a_counted_operator_leaves_nothing_behind():
    with pytest.raises(RuntimeError), OperationCounter() as counter:
        torch.mm(A, A)
    with OperationCounter() as after:
        A @ B
    assert (counter.get_total_flops(), after.get_total_flops()) == (0, 60)


def test_a_dispatch_mode_sees_the_same_operators_as_without_a_counter():
    class Seen(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.names.append(str(function))
            return function(*args, **(kwargs or {}))

    def names() -> list[str]:
        layer = nn.Conv2d(3, 4, 3)
        with Seen() as seen:
            layer(torch.ones(2, 3, 8, 8)).sum().backward()
        return seen.names

    expected = names()
    with OperationCounter() as counter:
        assert names() == expected
    assert counter.get_total_flops() == 2 * (2 * 2 * 36 * 4 * 27)


def test_a_formula_that_someone_registers_for_an_own_operator_is_used(monkeypatch):
    with torch.library._scoped_library("tests_of_counter", "DEF") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: 2 * x, "CompositeExplicitAutograd")
        twice = torch.ops.tests_of_counter.twice
        register_flop_formula(twice)(lambda shape, **about: 1000 * shape[0])
        try:
            with OperationCounter() as counter:
                assert torch.equal(twice(A), 2 * A)
            assert counter.get_total_flops() == 2000
        finally:
            del flop_registry[twice]


def test_the_time_of_counting_is_that_of_the_formulas(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def slow(*shapes, **about) -> int:
        now[0] += 7.0
        return 1

    monkeypatch.setitem(flop_registry, torch.ops.aten.mm, slow)
    with OperationCounter() as counter:
        now[0] += 1.0
        A @ B
        A @ B
    assert (counter.get_total_flops(), counter.seconds) == (2, 14.0)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_cholesky_factors_and_what_is_solved_with_them(device):
    """A factor of [12, 12] takes 12^3 / 3 operations; each of its triangles, for 5 columns, 12^2 * 5."""
    matrix = torch.eye(12, dtype=torch.float64, device=device)
    with OperationCounter() as counter:
        factor = torch.linalg.cholesky(matrix)
    assert counter.get_total_flops() == 12**3 // 3
    with OperationCounter() as counter:
        torch.cholesky_solve(torch.ones(12, 5, dtype=torch.float64, device=device), factor)
    assert counter.get_total_flops() == 2 * 12**2 * 5
    with OperationCounter() as counter:
        torch.linalg.cholesky_ex(matrix)
    assert counter.get_total_flops() == 12**3 // 3
