"""Gradients of all parameters at once."""

from __future__ import annotations

import torch
from torch import nn

from methods.gradients import gradients_of, parts_like


def test_a_parameter_without_a_gradient_gets_zeros_and_others_stay_live() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    (3 * used).sum().backward()
    found = gradients_of([used, unused])
    assert found[0] is used.grad
    assert found[1] is unused.grad
    assert [gradient.tolist() for gradient in found] == [[3, 3], [0, 0, 0]]


def test_a_vector_is_cut_in_the_order_of_the_values_whatever_their_order_in_memory() -> None:
    tensors = [torch.empty(2, 3, 2, 2), torch.empty(5), torch.empty(4, 3, 2, 2), torch.empty(())]
    tensors[2] = tensors[2].contiguous(memory_format=torch.channels_last)
    vector = torch.arange(24 + 5 + 48 + 1.0)
    parts = parts_like(vector, tensors)
    assert [part.shape for part in parts] == [tensor.shape for tensor in tensors]
    assert [part.stride() for part in parts] == [tensor.stride() for tensor in tensors]
    assert torch.equal(torch.cat([part.flatten() for part in parts]), vector)
    assert parts[0].data_ptr() == vector.data_ptr(), "a view where it can be one"
