"""Random rows that are orthogonal to others: as Gram-Schmidt gives them, and where there is no room for so many."""

import pytest
import torch

from baselines.shared.orthogonal import orthonormal_rows


def generator():
    return torch.Generator().manual_seed(3)


def double(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def test_it_is_gram_schmidt_of_normal_numbers():
    earlier = double(2, 2, 7)
    found = orthonormal_rows(earlier, 3, generator())
    drawn = torch.randn(2, 3, 7, generator=generator()).double()
    for number in range(2):
        # Those before span the same space, so projecting on an orthonormal basis of theirs is enough.
        basis = []
        for row in (*earlier[number], *drawn[number]):
            for other in basis:
                row = row - (row @ other) * other
            basis.append(row / row.norm())
        torch.testing.assert_close(found[number], torch.stack(basis[2:]))


def test_the_first_rows_have_none_before_them():
    found = orthonormal_rows(double(1, 0, 5), 5, generator())[0]
    torch.testing.assert_close(found @ found.T, torch.eye(5, dtype=torch.float64))


@pytest.mark.parametrize(("before", "count", "length"), [(4, 3, 5), (0, 12, 5), (7, 5, 5), (3, 7, 6)])
def test_without_room_a_row_is_orthogonal_to_those_right_before_it(before, count, length):
    earlier = double(2, before, length)
    found = orthonormal_rows(earlier, count, generator())
    assert found.shape == (2, count, length)
    torch.testing.assert_close(found.norm(dim=2), torch.ones(2, count, dtype=torch.float64))
    together = torch.cat([earlier, found], 1)
    # The new rows come in groups as long as there is room for. A group and the rows right before it fill the space.
    for first in range(0, count, length):
        group = found[:, first : first + length]
        room = min(length - group.shape[1], before + first)
        previous = together[:, before + first - room : before + first]
        torch.testing.assert_close(group @ previous.mT, torch.zeros(2, group.shape[1], room, dtype=torch.float64))
        unit = torch.eye(group.shape[1], dtype=torch.float64).expand(2, -1, -1)
        torch.testing.assert_close(group @ group.mT, unit)


def test_earlier_rows_may_depend_on_each_other():
    earlier = double(1, 1, 6).expand(-1, 3, -1)
    found = orthonormal_rows(earlier, 2, generator())[0]
    torch.testing.assert_close(found @ found.T, torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(found @ earlier[0].T, torch.zeros(2, 3, dtype=torch.float64))


def test_another_generator_gives_other_rows():
    one, two = (orthonormal_rows(double(1, 0, 5), 2, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert not torch.allclose(one, two)
