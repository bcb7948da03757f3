"""Counts floating-point operations while a program runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.library import Library
from torch.utils.flop_counter import FlopCounterMode

from benchmark.learning.formulas import own_formulas


class OperationCounter:
    """Counts floating-point operations of convolutions and matrix products; a multiplication and addition are 2.

    Those of attention, which are matrix products, of Cholesky factors, and of solving with them, are counted too.

    Use as a context manager; `get_total_flops()` is the count. All operations of the process are counted, those of
    torch's own threads too. Several counters may be active.

    Torch's own counter is a dispatch mode: it passes every operator through Python, so that a step of a small network
    takes up to three times as long. Here only the operators that have a formula pass through Python. While a counter
    is active they have a kernel under the dispatch key BackendSelect. All tensors have this key. It comes after
    autograd, vmap and dispatch modes, and before the kernels of the devices.

    Attributes:
        seconds: how long the counting itself took so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._operations = 0

    def get_total_flops(self) -> int:
        """Return the operations so far."""
        return self._operations

    def __enter__(self) -> OperationCounter:
        began = time.perf_counter()
        if not _active:
            _register()
        _active.append(self)
        self.seconds += time.perf_counter() - began
        return self

    def __exit__(self, *error: object) -> None:
        began = time.perf_counter()
        _active.remove(self)
        if not _active:
            _unregister()
        self.seconds += time.perf_counter() - began

    def _add(self, operations: int, seconds: float) -> None:
        self._operations += operations
        self.seconds += seconds


def count_again(operations: int) -> None:
    """Let all active counters count operations that were counted before, and need not be done again."""
    for counter in _active:
        counter._add(operations, seconds=0.0)


_active: list[OperationCounter] = []

# The registered kernels, by the operators' namespace.
_libraries: dict[str, Library] = {}

# What a counted operator calls is part of it. So `operator` is true in a thread while a counted operator runs.
_within = threading.local()

_KEY = "BackendSelect"

_KEYS_AFTER = torch._C._dispatch_keyset_full_after(torch._C.DispatchKey.BackendSelect)


def _register() -> None:
    """Register the kernels of all operators that have a formula."""
    formulas = FlopCounterMode(display=False, custom_mapping=own_formulas()).flop_registry
    for packet, formula in formulas.items():
        # The other keys are Triton's kernels, and operators that take functions.
        if isinstance(packet, torch._ops.OpOverloadPacket):
            for name in packet.overloads():
                operator = getattr(packet, name)
                if operator.namespace not in _libraries:
                    _libraries[operator.namespace] = Library(operator.namespace, "IMPL")
                _libraries[operator.namespace].impl(operator, _counting(operator, formula), _KEY, with_keyset=True)


def _unregister() -> None:
    while _libraries:
        _libraries.popitem()[1]._destroy()


def _counting(operator: torch._ops.OpOverload, formula: Callable[..., int]) -> Callable[..., Any]:
    """Return a kernel that does what the operator does, and counts it."""

    def kernel(keys: torch._C.DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
        if getattr(_within, "operator", False):
            return operator.redispatch(keys & _KEYS_AFTER, *args, **kwargs)
        _within.operator = True
        try:
            result = operator.redispatch(keys & _KEYS_AFTER, *args, **kwargs)
        finally:
            _within.operator = False
        began = time.perf_counter()
        operations = formula(*args, **kwargs, out_val=result)
        seconds = time.perf_counter() - began
        for counter in _active:
            counter._add(operations, seconds)
        return result

    return kernel
