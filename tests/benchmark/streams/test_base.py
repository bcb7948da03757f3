"""Images in memory and images of a store are alike, but for what a store knows of them."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.images.labelled import LabelledImages
from benchmark.images.store import About, Store, build_store
from benchmark.streams.base import Task

PIXELS = np.arange(600 * 3 * 4 * 4, dtype=np.uint32).astype(np.uint8).reshape(600, 4, 4, 3)
LABELS = torch.arange(600) % 2


@pytest.fixture
def store(monkeypatch, tmp_path) -> Store:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return build_store("ab" * 32, About("task", "train", 600, 4), lambda path: path.write_bytes(PIXELS.tobytes()))


@pytest.fixture
def stored(store) -> LabelledImages:
    return LabelledImages.from_store(store, LABELS)


@pytest.fixture
def plain() -> LabelledImages:
    return LabelledImages.from_pixels(PIXELS, LABELS)


def test_a_store_gives_an_ordinary_tensor(stored, plain):
    assert stored.images.dtype == torch.uint8
    assert stored.images.shape == (600, 3, 4, 4)
    assert stored.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(stored.images, plain.images)
    assert torch.equal(stored.images[[5, 3]], plain.images[[5, 3]])
    assert len(stored) == 600


def test_the_digest_is_that_of_the_bytes(stored, plain, monkeypatch):
    expected = hashlib.sha256(PIXELS.tobytes()).hexdigest()
    otherwise = LabelledImages(plain.images.contiguous(), LABELS)
    assert plain.digest == otherwise.digest == expected
    monkeypatch.setattr(hashlib, "sha256", lambda: pytest.fail("it was computed again"))
    assert stored.digest == expected


def test_release_keeps_the_values(stored, plain):
    for data in (stored, plain):
        data.release()
        assert torch.equal(data.images, torch.from_numpy(PIXELS).permute(0, 3, 1, 2))


def test_a_copy_with_other_images_has_no_store(stored):
    other = replace(stored, images=stored.images[:10].clone(), labels=LABELS[:10])
    assert other.store is None
    assert other.digest == hashlib.sha256(PIXELS[:10].tobytes()).hexdigest()
    other.release()


def test_read_only_pages_bring_no_warning(store):
    store.pixels.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(LabelledImages.from_store(store, LABELS)) == 600


def test_a_store_is_not_sent_with_its_images(stored, plain):
    sent = pickle.dumps(stored)
    assert len(sent) < PIXELS.nbytes / 2
    for data in (pickle.loads(sent), pickle.loads(pickle.dumps(plain))):
        assert torch.equal(data.images, stored.images)
        assert torch.equal(data.labels, LABELS)
    assert pickle.loads(sent).store.about == stored.store.about


def task(**changes) -> Task:
    data = LabelledImages.from_pixels(PIXELS, LABELS)
    return replace(Task("task", ("a", "b"), data, data, data), **changes)


def test_the_fingerprint_follows_from_classes_images_and_labels(stored):
    same = task().fingerprint
    assert task(train=stored, name="another").fingerprint == same
    others = [
        task(classes=("a", "c")),
        task(train=LabelledImages.from_pixels(PIXELS[::-1].copy(), LABELS)),
        task(test=LabelledImages.from_pixels(PIXELS, 1 - LABELS)),
        task(test=LabelledImages.from_pixels(PIXELS, torch.zeros(600, dtype=torch.int64))),
    ]
    assert len({same, *(other.fingerprint for other in others)}) == 5
