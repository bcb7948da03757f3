from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from baselines.shared.vectors import values_in_memory, vector_of


def test_values_are_in_the_order_of_their_indices_whatever_the_memory_format() -> None:
    tensors = [torch.rand(4, 3, 2, 2), torch.rand(5), torch.rand(2, 3)]
    expected = parameters_to_vector(tensors)
    last = [tensors[0].contiguous(memory_format=torch.channels_last), *tensors[1:]]
    assert torch.equal(vector_of(last), expected)
    assert torch.equal(vector_of(iter(tensors)), expected)
    vector = vector_of(tensors)
    vector[0] = 2.0
    assert torch.equal(vector_of(tensors), expected), "a copy"


DENSE = torch.arange(4 * 3 * 2 * 5.0).view(4, 3, 2, 5)


@pytest.mark.parametrize(
    "tensor",
    [
        DENSE,
        DENSE.contiguous(memory_format=torch.channels_last),
        DENSE[:, :, :1, :1].contiguous(memory_format=torch.channels_last),
        DENSE[:, :1].contiguous(memory_format=torch.channels_last),
        DENSE.permute(2, 0, 3, 1),
        torch.rand(6, 8).t(),
        torch.tensor(3.0),
        torch.rand(0, 4),
    ],
    ids=["contiguous", "channels-last", "1x1 kernel", "depthwise", "permuted", "transposed", "scalar", "empty"],
)
def test_values_in_memory_are_a_view_in_the_order_of_memory(tensor: Tensor) -> None:
    values = values_in_memory(tensor)
    assert torch.equal(values, tensor.as_strided((tensor.numel(),), (1,)))
    assert values.data_ptr() == tensor.data_ptr()


def test_values_in_memory_with_others_between_them() -> None:
    assert values_in_memory(DENSE[:, 1:2, 0]).sort().values.tolist() == sorted(DENSE[:, 1, 0].flatten().tolist())
    assert values_in_memory(torch.ones(1).expand(2, 3)).tolist() == [1.0] * 6
