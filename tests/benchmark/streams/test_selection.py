import math
from itertools import pairwise

import numpy as np
import pytest

from benchmark.streams.selection import at_most, balanced, generator, hold_out_evenly, hold_out_per_class


def labels_of(*sizes: int) -> np.ndarray:
    """Labels in mixed order, sizes[c] of class c."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.RandomState(0).permutation(labels)


def choose(labels: np.ndarray, count: int, task: str = "task") -> np.ndarray:
    return balanced(labels, count, generator(task, "test"))


@pytest.mark.parametrize(
    ("sizes", "count", "chosen"),
    [
        ((10, 10, 10), 9, [3, 3, 3]),
        ((10, 10, 10), 30, [10, 10, 10]),
        ((10, 10, 10), 500, [10, 10, 10]),
        ((2, 10, 10), 12, [2, 5, 5]),
        ((1, 3, 10), 10, [1, 3, 6]),
        ((5,), 3, [3]),
    ],
)
def test_classes_give_equally_and_small_ones_all_they_have(sizes, count, chosen):
    labels = labels_of(*sizes)
    indices = choose(labels, count)
    assert np.bincount(labels[indices]).tolist() == chosen
    assert len(set(indices.tolist())) == len(indices)
    assert (np.diff(indices) > 0).all()


def test_the_remainder_falls_on_seeded_classes():
    labels = labels_of(*[10] * 8)
    counts = np.bincount(labels[choose(labels, 19)])
    assert sorted(counts) == [2, 2, 2, 2, 2, 3, 3, 3]
    others = [np.bincount(labels[choose(labels, 19, f"task {n}")]).tolist() for n in range(5)]
    assert len({tuple(counts) for counts in others}) > 1


def test_a_larger_choice_contains_the_smaller():
    labels = labels_of(3, 7, 20, 20)
    nested = [set(choose(labels, count).tolist()) for count in range(1, 51)]
    assert [len(chosen) for chosen in nested] == list(range(1, 51))
    assert all(small < large for small, large in pairwise(nested))


def test_randomness_depends_on_task_and_purpose():
    labels = labels_of(50, 50)
    assert choose(labels, 10).tolist() == choose(labels, 10).tolist()
    assert choose(labels, 10).tolist() != choose(labels, 10, "another").tolist()
    assert generator("a", "b").randint(10**6) != generator("b", "a").randint(10**6)


def test_the_choice_never_changes():
    assert choose(np.arange(40) % 4, 8).tolist() == [8, 9, 10, 12, 19, 25, 31, 38]


def test_every_tenth_is_an_exact_share_and_leaves_something_of_every_class():
    labels = labels_of(2, 2, 5, 11, 40, 30)
    kept, held = hold_out_evenly(10, labels, generator("task", "test"))
    assert len(held) == 9
    assert sorted([*kept, *held]) == list(range(90))
    assert (np.bincount(labels[held], minlength=6) <= [1, 1, 1, 2, 4, 3]).all()
    assert (np.bincount(labels[kept]) >= 1).all()
    assert (np.diff(kept) > 0).all()
    assert (np.diff(held) > 0).all()


@pytest.mark.parametrize(("percent", "held"), [(0, 0), (1, 1), (25, 23), (33, 30), (50, 45)])
def test_another_share_is_exact_too(percent, held):
    sizes = (2, 2, 5, 11, 40, 30)
    labels = labels_of(*sizes)
    kept, out = hold_out_evenly(percent, labels, generator("task", "test"))
    assert len(out) == held
    assert sorted([*kept, *out]) == list(range(90))
    counts = np.bincount(labels[out], minlength=6)
    assert all(count <= math.ceil(size * percent / 100) for count, size in zip(counts, sizes, strict=True))


def test_what_is_held_out_never_changes():
    assert hold_out_evenly(10, np.arange(40) % 4, generator("task", "test"))[1].tolist() == [8, 10, 19, 25]


def test_equal_classes_lose_equally():
    labels = labels_of(60, 60, 60)
    _, held = hold_out_evenly(10, labels, generator("task", "test"))
    assert np.bincount(labels[held]).tolist() == [6, 6, 6]


def test_every_class_gives_its_share_and_at_least_one():
    labels = labels_of(3, 10, 100)
    kept, held = hold_out_per_class(labels, 0.2, generator("task", "test"))
    assert np.bincount(labels[held]).tolist() == [1, 2, 20]
    assert sorted([*kept, *held]) == list(range(113))


@pytest.mark.parametrize(
    ("sizes", "count", "chosen"), [((10, 10, 10), 4, [4, 4, 4]), ((2, 10), 5, [2, 5]), ((3,), 9, [3]), ((), 2, [])]
)
def test_at_most_so_many_of_each_class(sizes, count, chosen):
    labels = labels_of(*sizes)
    indices = at_most(count, labels, generator("task", "test"))
    assert np.bincount(labels[indices]).tolist() == chosen
    assert (np.diff(indices) > 0).all()
    assert indices.tolist() == at_most(count, labels, generator("task", "test")).tolist()
    if count < min(sizes, default=0):
        assert indices.tolist() != at_most(count, labels, generator("other", "test")).tolist()
