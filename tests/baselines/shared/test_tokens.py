"""Tokens beside those of an image."""

import torch

from baselines.shared.tokens import with_tokens

X = torch.arange(24.0).view(2, 3, 4)


def test_each_image_has_its_own_at_the_end():
    found = with_tokens(X, torch.stack([torch.full((1, 4), 7.0), torch.full((1, 4), 8.0)]))
    assert torch.equal(found[:, :3], X)
    assert found[:, 3:].tolist() == [[[7.0] * 4], [[8.0] * 4]]


def test_the_same_for_all_images_in_place_of_the_last_ones_in_the_format_of_the_others():
    found = with_tokens(X.bfloat16(), torch.full((5, 4), 7.0), replaced=2)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found[:, :1], X[:, :1].bfloat16())
    assert found[:, 1:].tolist() == [[[7.0] * 4] * 5] * 2
