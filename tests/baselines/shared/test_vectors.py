from __future__ import annotations

import torch
from torch.nn.utils import parameters_to_vector

from baselines.shared.vectors import vector_of


def test_values_are_in_the_order_of_their_indices_whatever_the_memory_format() -> None:
    tensors = [torch.rand(4, 3, 2, 2), torch.rand(5), torch.rand(2, 3)]
    expected = parameters_to_vector(tensors)
    last = [tensors[0].contiguous(memory_format=torch.channels_last), *tensors[1:]]
    assert torch.equal(vector_of(last), expected)
    assert torch.equal(vector_of(iter(tensors)), expected)
    vector = vector_of(tensors)
    vector[0] = 2.0
    assert torch.equal(vector_of(tensors), expected), "a copy"
