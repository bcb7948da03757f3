"""The embedded stream: the same bytes everywhere, fair splits, and no colour that gives a class away."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
import torch

from benchmark.streams import streams
from benchmark.streams.mini.drawing import Draws, unit
from benchmark.streams.mini.stream import TASKS, MiniStream
from benchmark.streams.source import RawTask

# SHA-256 of each task's images and labels. They change only if the stream does, and then every result with it.
FINGERPRINTS = {
    "digits": "3b3b9cdcebcb5fbe27909f2a8ea7cf073ec5953fc7e1d825a0671c4b7fee4748",
    "shapes": "a8045492ac10761aadb41c05930b0991ca04efefc5a8f509b98154a900cc0101",
    "letters": "408be34343e482d010868377a0e7161127c2667417317bfeb115dd9696fff782",
    "font-style": "12ca6796c233073eb374e6b457f3d37549830afdb6079a46d06a627b0b745c75",
    "textures": "d87a28c137b6796d2ff8676c5cab1ea994ad25277d19ee8ed41dd9644a6d3b2f",
    "counting": "86810aeb6b2698b7705cfea568ee58943bc2aebb43a2e0111fb9eacfb3c8d14a",
    "scenes": "bbfd0470d5bcf2a3f7bdf792a54dd931236b202b5909246d70df61b2fc3715bd",
    "cells": "7c1cc1873580e53baf70f44e33ad7ac85e40daf5bc5743f5e360c3201f4668c5",
}


@pytest.fixture(scope="module")
def tasks() -> list[RawTask]:
    return MiniStream().raw_tasks(None)


def test_is_registered():
    assert streams.get("mini") is MiniStream
    assert MiniStream.default_image_size == 32


def test_eight_tasks_of_five_kinds(tasks):
    assert [task.name for task in tasks] == [task.name for task in TASKS] == list(FINGERPRINTS)
    assert Counter(task.kind for task in TASKS) == {"objects": 3, "style": 2, "counting": 1, "scene": 1, "medical": 1}
    assert [len(task.classes) for task in tasks] == [10, 8, 10, 6, 8, 6, 6, 5]


@pytest.mark.parametrize("index", range(8))
def test_bytes_are_the_same_everywhere(tasks, index):
    digest = hashlib.sha256()
    for part in (tasks[index].train, tasks[index].test):
        digest.update(part.images.tobytes())
        digest.update(bytes(part.labels))
    assert digest.hexdigest() == FINGERPRINTS[tasks[index].name]


def test_sizes_and_types(tasks):
    for task in tasks:
        for part, count in ((task.train, 600), (task.test, 240)):
            assert part.images.shape == (count, 32, 32, 3)
            assert part.images.dtype == np.uint8
            assert part.images.flags.c_contiguous
            assert part.read(0).size == (32, 32)


def test_classes_are_balanced_and_shuffled(tasks):
    for task in tasks:
        for part in (task.train, task.test):
            counts = Counter(part.labels)
            assert counts == {label: len(part.labels) // len(task.classes) for label in range(len(task.classes))}
            assert set(part.labels[:60]) == set(range(len(task.classes)))


def test_train_and_test_share_no_image(tasks):
    for task in tasks:
        images = np.concatenate([task.train.images, task.test.images])
        assert len({image.tobytes() for image in images}) == 840


def test_train_and_test_share_no_handwriting():
    from sklearn.datasets import load_digits

    # Each class draws its 84 digits at once and without repetition, so it needs at least that many.
    assert min(Counter(load_digits().target.tolist()).values()) >= 84
    order = Draws(0).orders(1, 174)[0]
    assert sorted(order) == list(range(174))


def test_mean_colour_gives_no_class_away(tasks):
    for task in tasks:
        train, test = (torch.from_numpy(part.images).float().mean((1, 2)) for part in (task.train, task.test))
        labels = torch.tensor(task.train.labels)
        centres = torch.stack([train[labels == label].mean(0) for label in range(len(task.classes))])
        guesses = torch.cdist(test, centres).argmin(1)
        accuracy = (guesses == torch.tensor(task.test.labels)).float().mean()
        assert accuracy < 1 / len(task.classes) + 0.1, task.name


def test_limit_makes_only_the_first_tasks(tasks, monkeypatch):
    made = []
    monkeypatch.setattr("benchmark.streams.mini.stream._paint", lambda task, seed: made.append((task.name, seed)))
    assert len(MiniStream().raw_tasks(3)) == 3
    assert made == [("digits", 0), ("shapes", 1), ("letters", 2)]


def test_draws_depend_on_the_seed_alone():
    # The first raw bits of PCG64(0), as NumPy has promised them.
    assert int(np.random.PCG64(0).random_raw()) == 11749869230777074271
    first, again, other = (Draws(seed).uniform(-1, 1, 500) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float32
    assert -1 <= first.min() < -0.9
    assert 0.9 < first.max() < 1


def test_whole_numbers_include_both_ends():
    assert set(Draws(0).whole(2, 5, 200).tolist()) == {2, 3, 4, 5}


def test_unit_vectors_have_length_one_and_the_promised_angle():
    x, y = unit(np.linspace(-1, 1, 9, dtype=np.float32))
    assert np.allclose(x * x + y * y, 1, atol=1e-6)
    assert (x[0], y[0]) == (0, -1)
    assert (x[-1], y[-1]) == (0, 1)
