"""The orders of a stream's tasks."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from benchmark.streams.base import Stream
from benchmark.streams.orders import draw_orders, reordered
from methods.errors import UserError

NAMES = ("digits", "shapes", "letters", "leaves", "signs")


def test_the_first_order_is_the_streams_own():
    assert draw_orders(NAMES, 1) == [[1, 2, 3, 4, 5]]


def test_more_orders_begin_with_the_same():
    assert draw_orders(NAMES, 6)[:3] == draw_orders(NAMES, 3)


def test_an_order_is_drawn_from_its_number_and_the_names():
    digest = hashlib.sha256(b"order 1\ndigits\nshapes\nletters\nleaves\nsigns").digest()
    drawn = np.random.RandomState(np.frombuffer(digest, dtype="<u4")).permutation(5) + 1
    assert draw_orders(NAMES, 2)[1] == drawn.tolist() != [1, 2, 3, 4, 5]
    assert draw_orders(("digits", "shapes", "letters", "leaves", "sign"), 9) != draw_orders(NAMES, 9)


@pytest.mark.parametrize(("tasks", "orders"), [(1, 1), (2, 2), (3, 6), (4, 24), (5, 40)])
def test_no_order_comes_twice_even_if_all_are_asked_for(tasks, orders):
    drawn = draw_orders(NAMES[:tasks], orders)
    assert len({tuple(order) for order in drawn}) == orders
    assert all(sorted(order) == list(range(1, tasks + 1)) for order in drawn)


def test_many_orders_are_not_looked_through_for_each():
    names = [str(number) for number in range(8)]
    drawn = draw_orders(names, 10_000)
    assert len({tuple(order) for order in drawn}) == 10_000


@pytest.mark.parametrize(
    ("tasks", "orders", "says"),
    [
        (1, 2, "--orders 2 must be at most 1: a stream of length 1 has no more orders"),
        (3, 7, "--orders 7 must be at most 6: a stream of length 3 has no more orders"),
    ],
)
def test_more_orders_than_there_are_is_refused(tasks, orders, says):
    with pytest.raises(UserError) as caught:
        draw_orders(NAMES[:tasks], orders)
    assert str(caught.value) == says


def test_a_stream_in_another_order_has_the_same_tasks(tiny_tasks):
    first, second, third = tiny_tasks
    stream = reordered(Stream("tiny", tiny_tasks), [3, 1, 2])
    assert stream.tasks == (third, first, second)
    assert (stream.spec, stream.most_classes) == ("tiny", 4)
