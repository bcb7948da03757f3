"""The orders in which a run learns a stream's tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from benchmark.streams.base import Stream
from benchmark.streams.selection import generator
from methods.errors import UserError


def draw_orders(names: Sequence[str], count: int) -> list[list[int]]:
    """`count` different orders of the tasks with these names: the stream's own, then random ones.

    Order k depends on k and the names only: it is the same for all methods and seeds, and in runs with more orders.

    Returns:
        For each order the tasks' numbers, from 1, as they are learned.

    Raises:
        UserError: the tasks are too few for that many orders.
    """
    most = math.factorial(len(names))
    if count > most:
        raise UserError(f"--orders {count} must be at most {most}: a stream of length {len(names)} has no more orders")
    own = tuple(range(1, len(names) + 1))
    # As keys, because looking up an order then takes the same time for any number of orders.
    orders = {own: None}
    for k in range(1, count):
        random = generator("\n".join(names), f"order {k}")
        order = own
        while order in orders:
            order = tuple((random.permutation(len(names)) + 1).tolist())
        orders[order] = None
    return [list(order) for order in orders]


def reordered(stream: Stream, order: Sequence[int]) -> Stream:
    """The stream with its tasks in another order, given by their numbers, from 1."""
    return replace(stream, tasks=tuple(stream.tasks[number - 1] for number in order))
