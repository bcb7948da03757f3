"""How many operations an operator takes, where torch has no formula or another one."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor

Formula = Callable[..., int]

# The beginnings of the names of the operators that compute attention at once. Not every version of torch has all.
_ATTENTION = "_scaled_dot_product_"
_ATTENTIONS = ("efficient_attention", "flash_attention", "flash_attention_for_cpu", "cudnn_attention")


def own_formulas() -> dict[torch._ops.OpOverloadPacket, Formula]:
    """Operator -> the function that is called with its arguments, or with their shapes, and returns the operations."""
    aten = torch.ops.aten
    found: dict[torch._ops.OpOverloadPacket, Formula] = {
        aten.convolution_backward: _convolution_backward,
        aten.linalg_cholesky_ex: _cholesky,
        aten.cholesky_solve: _cholesky_solve,
    }
    for name in _ATTENTIONS:
        if hasattr(aten, _ATTENTION + name):
            found[getattr(aten, _ATTENTION + name)] = _attention
            found[getattr(aten, f"{_ATTENTION}{name}_backward")] = _attention_backward
    return found


def _convolution_backward(
    grad_output: torch.Size,
    images: torch.Size,
    weight: torch.Size,
    *settings: Any,
    out_shape: Any = None,
    **kwargs: Any,
) -> int:
    """Return the operations of a convolution's backward pass: torch's formula ignores groups for the weight's gradient.

    The gradients of the input and of the weight need as many multiplications as the forward pass each: one for each
    pair of an output value and a weight that it uses.
    """
    transposed, output_mask = settings[4], settings[7]
    positions = images if transposed else grad_output
    return 2 * sum(output_mask[:2]) * positions[0] * prod(positions[2:]) * prod(weight)


def _cholesky(matrix: torch.Size, *settings: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """Return the operations of a Cholesky factor of [n, n]: n^3 / 3, as LAPACK counts them, without lower powers."""
    return matrix[-1] ** 3 // 3


def _cholesky_solve(right: torch.Size, factor: torch.Size, *settings: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """Return the operations of solving for k columns with a factor of [n, n]: two triangles, 2 n^2 k."""
    return 2 * factor[-1] ** 2 * right[-1]


def _attention(
    query: torch.Size, key: torch.Size, value: torch.Size, *settings: Any, out_shape: Any = None, **kwargs: Any
) -> int:
    """Return the operations of two products: queries [..., L, E] with keys [..., S, E], the result with values."""
    return _product(query, key) + _product(query, key, value)


def _attention_backward(
    grad_output: Tensor, query: Tensor, key: Tensor, value: Tensor, *saved: Any, **kwargs: Any
) -> int:
    """Return the operations of the products that the wanted gradients need.

    These are what autograd computes if attention is written as two products, as it is for tensors without data. What
    the operator computes a second time, to save memory, is left out.
    """
    wanted = [tensor.requires_grad for tensor in (query, key, value)]
    if not any(wanted):
        # Function transforms take the history away.
        wanted = [True] * 3
    scores, summed = _product(query.shape, key.shape), _product(query.shape, key.shape, value.shape)
    of_query, of_key, of_value = wanted
    return (of_query + of_key) * scores + (of_value + (of_query or of_key)) * summed


# It gets tensors, not shapes: torch's counter asks for this attribute.
_attention_backward._get_raw = True  # type: ignore[attr-defined]


def _product(query: torch.Size, key: torch.Size, value: torch.Size | None = None) -> int:
    """Return the operations of [L, E] times [E, S], or of [L, S] times [S, E of the values], in each head and image."""
    inner = query[-1] if value is None else value[-1]
    return 2 * prod(query[:-1]) * key[-2] * inner
