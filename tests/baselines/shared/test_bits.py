"""Packed bits against bits written out by hand."""

from __future__ import annotations

import pytest
import torch

from baselines.shared.bits import pack_bits, unpack_bits


def test_bit_i_of_byte_j_is_value_8j_plus_i() -> None:
    mask = torch.tensor([1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1]).bool()
    assert pack_bits(mask).tolist() == [0b10000001, 0b00000110]
    assert unpack_bits(torch.tensor([0b10000001, 0b00000110], dtype=torch.uint8), (11,)).tolist() == mask.tolist()


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (8,), (9,), (3, 5), (4, 3, 3, 3), (2, 1, 1, 1)])
def test_round_trip(shape: tuple[int, ...]) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.5
    packed = pack_bits(mask)
    assert packed.dtype == torch.uint8
    assert packed.shape == (-(-mask.numel() // 8),)
    again = unpack_bits(packed, shape)
    assert again.dtype == torch.bool
    assert torch.equal(again, mask)


def test_values_are_in_the_order_of_their_indices_whatever_the_memory_format() -> None:
    mask = torch.rand(2, 4, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    assert torch.equal(pack_bits(mask.contiguous(memory_format=torch.channels_last)), pack_bits(mask))


def test_numbers_that_are_0_and_1_are_a_mask_too() -> None:
    assert pack_bits(torch.tensor([0.0, 1.0, 1.0])).tolist() == pack_bits(torch.tensor([0, 1, 1])).tolist() == [6]


def test_sizes_are_known_without_data() -> None:
    packed = pack_bits(torch.empty(5, 7, device="meta"))
    assert packed.is_meta
    assert packed.nbytes == 5  # 35 bits
    assert unpack_bits(packed, (5, 7)).shape == (5, 7)
