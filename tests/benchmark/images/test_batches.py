"""Every image once, whatever is gathered at a time, and by whom."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmark.checks.pretended.cuda import pretended_gpu
from benchmark.checks.pretended.places import is_on_gpu
from benchmark.images import batches as module
from benchmark.images.batches import Batches, in_order
from benchmark.images.labelled import LabelledImages
from benchmark.images.store import About, Store, build_store
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods import Method
from methods.data import Samples
from methods.recipe import Recipe

CPU = torch.device("cpu")


def numbered(count: int, size: int = 2) -> LabelledImages:
    """Each image holds the number that is its label, from 0; what follows from it shows in all pixels."""
    labels = torch.arange(count)
    pixels = labels.view(-1, 1, 1, 1) * 3 + torch.arange(3 * size**2).view(3, size, size)
    return LabelledImages(pixels.to(torch.uint8), labels)


def batches(count: int, size: int, seed: int = 0, dry: bool = False) -> Batches:
    return Batches(numbered(count), size, torch.Generator().manual_seed(seed), CPU, dry=dry)


def chunks_of(monkeypatch: pytest.MonkeyPatch, images: int, data: LabelledImages) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", images * data.images[0].nbytes)


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], LabelledImages]:
    """mapped(50): `numbered`, in a store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(count: int) -> LabelledImages:
        data = numbered(count)
        pixels = data.images.permute(0, 2, 3, 1).numpy().tobytes()
        store = build_store("ab" * 32, About("task", "train", count, 2), lambda path: path.write_bytes(pixels))
        return LabelledImages.from_store(store, data.labels)

    return make


@pytest.mark.parametrize(
    ("count", "size", "sizes"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (9, 4, [4, 5]), (1, 4, [1]), (3, 4, [3])]
)
def test_an_epoch_is_every_image_once_and_no_batch_of_one(count: int, size: int, sizes: list[int]) -> None:
    labels = [labels for _, labels in batches(count, size)]
    assert [len(part) for part in labels] == sizes
    assert sorted(torch.cat(labels).tolist()) == list(range(count))


def test_every_epoch_has_its_own_order_and_the_seed_decides_it() -> None:
    one, again = batches(50, 8), batches(50, 8)
    orders = [torch.cat([labels for _, labels in part]).tolist() for part in (one, one, again, batches(50, 8, seed=1))]
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]
    assert orders[0] != orders[3]


def test_a_dry_epoch_is_one_batch() -> None:
    assert [len(labels) for _, labels in batches(10, 4, dry=True)] == [4]


@pytest.mark.parametrize("images_per_chunk", [1, 8, 17, 24, 1000])
@pytest.mark.parametrize("in_a_file", [False, True])
def test_the_batches_do_not_depend_on_how_much_is_gathered_at_once(
    mapped: Callable[[int], LabelledImages], in_a_file: bool, images_per_chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = mapped(49) if in_a_file else numbered(49)
    chunks_of(monkeypatch, images_per_chunk, data)
    parts = list(Batches(data, 8, torch.Generator().manual_seed(3), CPU))
    order = torch.randperm(49, generator=torch.Generator().manual_seed(3))
    assert [len(labels) for _, labels in parts] == [8, 8, 8, 8, 8, 9]
    assert torch.equal(torch.cat([labels for _, labels in parts]), order)
    assert torch.equal(torch.cat([images for images, _ in parts]), numbered(49).images[order])


def test_a_thread_gathers_the_next_chunk_while_one_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    data = numbered(24)
    chunks_of(monkeypatch, 8, data)
    begun = [threading.Event() for _ in range(3)]
    readers: list[int] = []
    read = Batches._read

    def spy(self: Batches, chosen: Tensor) -> tuple[Tensor, Tensor]:
        begun[len(readers)].set()
        readers.append(threading.get_ident())
        return read(self, chosen)

    monkeypatch.setattr(Batches, "_read", spy)
    for number, _ in enumerate(Batches(data, 4, torch.Generator(), CPU)):
        chunk = number // 2
        # One chunk ahead, and not two.
        assert all(event.wait(10) for event in begun[: chunk + 2])
        assert not any(event.is_set() for event in begun[chunk + 2 :])
    assert len(readers) == 3
    assert len(set(readers)) == 1
    assert readers[0] != threading.get_ident()


def test_an_error_in_the_training_ends_the_thread(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading: set[threading.Thread] = set()
    read = Batches._read

    def spy(self: Batches, chosen: Tensor) -> tuple[Tensor, Tensor]:
        reading.add(threading.current_thread())
        return read(self, chosen)

    def fail(self: Method, strategy, **kwargs) -> None:
        raise RuntimeError("in the first step")

    monkeypatch.setattr(Batches, "_read", spy)
    monkeypatch.setattr(Method, "before_backward", fail)
    chunks_of(monkeypatch, 8, tiny_tasks[0].train)
    cell = make_cell("sgd")
    with pytest.raises(RuntimeError, match="in the first step"):
        learn(cell, start(cell), tiny_tasks[0], Training(Recipe(), epochs=1, batch_size=8))
    assert len(reading) == 1
    assert not any(thread.is_alive() for thread in reading)


def test_an_error_of_the_thread_reaches_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    data = numbered(24)
    chunks_of(monkeypatch, 8, data)
    monkeypatch.setattr(LabelledImages, "release", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(Batches(data, 4, torch.Generator(), CPU))


@pytest.mark.parametrize(("unreleased", "times"), [(64, 1), (3, 3)])
def test_what_was_read_from_a_file_is_given_back_with_each_chunk_or_sooner(
    unreleased: int, times: int, mapped: Callable[[int], LabelledImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = mapped(24)
    chunks_of(monkeypatch, 8, data)
    monkeypatch.setattr(module, "_UNRELEASED", unreleased)
    released: list[Store] = []
    release = Store.release
    monkeypatch.setattr(Store, "release", lambda self: (released.append(self), release(self)))
    epoch = Batches(data, 4, torch.Generator().manual_seed(0), CPU)
    for _ in range(2):
        released.clear()
        for images, labels in epoch:
            assert torch.equal(images, numbered(24).images[labels])
        assert released == [data.store] * 3 * times
    assert torch.equal(data.images, numbered(24).images)


@pytest.mark.parametrize("images_per_chunk", [8, 1000])
def test_batches_are_channels_last_however_the_images_lie(
    mapped: Callable[[int], LabelledImages], images_per_chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in (mapped(24), numbered(24)):
        chunks_of(monkeypatch, images_per_chunk, data)
        for images, _ in Batches(data, 8, torch.Generator(), CPU):
            assert images.shape == (8, 3, 2, 2)
            assert images.is_contiguous(memory_format=torch.channels_last)
        for images, _ in in_order(data, CPU):
            assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("images_per_chunk", [8, 1000])
@pytest.mark.parametrize("augment", [lambda images: images, lambda images: images.transpose(2, 3)])
def test_or_contiguous_with_the_same_values(
    mapped: Callable[[int], LabelledImages],
    augment: Callable[[Tensor], Tensor],
    images_per_chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for data in (mapped(24), numbered(24)):
        chunks_of(monkeypatch, images_per_chunk, data)
        for images, labels in Batches(data, 8, torch.Generator(), CPU, augment, memory_format="contiguous"):
            assert images.is_contiguous()
            assert torch.equal(images, augment(numbered(24).images)[labels])
        for images, labels in in_order(data, CPU, "contiguous"):
            assert images.is_contiguous()
            assert torch.equal(images, numbered(24).images[labels])


def test_features_are_batched_as_images_are(monkeypatch: pytest.MonkeyPatch) -> None:
    data = LabelledImages(torch.arange(40.0).view(20, 2), torch.arange(20))
    chunks_of(monkeypatch, 8, data)
    parts = list(Batches(data, 4, torch.Generator(), CPU))
    assert len(parts) == 5
    for features, labels in parts:
        assert torch.equal(features, torch.stack([2.0 * labels, 2.0 * labels + 1], dim=1))


@pytest.mark.parametrize("free", [0, 1 << 30])
def test_no_epoch_waits_for_the_gpu(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for the order of so many images that it is no small copy, whether the GPU holds them or not."""
    monkeypatch.setattr(module, "CHUNK_BYTES", 3 << 18)
    features, labels = torch.rand(30_000, 5), torch.arange(30_000)
    with pretended_gpu(free) as log:
        batches = Batches(Samples(features, labels), 1000, torch.Generator().manual_seed(0), torch.device("cuda"))
        assert is_on_gpu(batches.data.images) == (free > 0)
        log.waits.clear()
        found = [labels for _, labels in batches]
        assert all(map(is_on_gpu, found))
        assert log.waits == []
    assert torch.cat(found).sort().values.tolist() == labels.tolist()


def test_tensors_without_data_have_batches_too() -> None:
    meta = torch.device("meta")
    data = LabelledImages(
        torch.empty(10, 3, 2, 2, dtype=torch.uint8, device=meta), torch.empty(10, dtype=torch.int64, device=meta)
    )
    parts = list(Batches(data, 4, torch.Generator(), meta))
    assert [(images.shape, labels.shape) for images, labels in parts] == [
        ((count, 3, 2, 2), (count,)) for count in (4, 4, 2)
    ]
    assert all(images.is_meta and images.is_contiguous(memory_format=torch.channels_last) for images, _ in parts)


def test_augmentation_changes_the_images_of_each_batch_and_not_the_data() -> None:
    data = numbered(12)
    before = data.images.clone()
    seen: list[int] = []

    def augment(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images + 1

    for images, labels in Batches(data, 5, torch.Generator(), CPU, augment):
        assert torch.equal(images, before[labels] + 1)
    assert seen == [5, 5, 2]
    assert torch.equal(data.images, before)


@pytest.mark.parametrize("side", [1, 16, 64])
def test_in_order_gives_each_image_once(side: int) -> None:
    count = 600
    pixels = torch.randint(256, (count, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = LabelledImages(pixels, torch.arange(count))
    parts = list(in_order(data, CPU))
    # A million pixels at once.
    assert len(parts[0][1]) == {1: 600, 16: 600, 64: 256}[side]
    assert torch.equal(torch.cat([images for images, _ in parts]), data.images)
    assert torch.equal(torch.cat([labels for _, labels in parts]), data.labels)


def test_large_images_are_still_passed_on_many_at_a_time() -> None:
    data = LabelledImages(torch.zeros(65, 3, 200, 200, dtype=torch.uint8), torch.arange(65))
    assert [len(labels) for _, labels in in_order(data, CPU)] == [64, 1]
