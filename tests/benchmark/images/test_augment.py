"""Random changes against plain loops over images, and whose random numbers they take."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import resized_crop as resized_crop_of_torchvision

from benchmark.config import AUGMENTATIONS
from benchmark.images.augment import _CHANGES, augmentation, crop, draw_boxes, flip, resize_boxes, resized_crop
from benchmark.learning import learner
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods import Method
from methods.recipe import Recipe

CHANNELS_LAST = torch.channels_last


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, size: int) -> Tensor:
    """No two rows or columns of an image are alike, and no pixel is black."""
    return torch.randint(1, 256, (count, 3, size, size), generator=seeded(7), dtype=torch.uint8)


def test_the_command_line_offers_all_changes() -> None:
    assert tuple(_CHANGES) == AUGMENTATIONS


def test_each_image_is_mirrored_or_left() -> None:
    images = noise(1000, 5)
    result = flip(images, seeded())
    mirrored = (result == images.flip(3)).flatten(1).all(1)
    same = (result == images).flatten(1).all(1)
    assert torch.equal(mirrored, ~same)
    # Within five standard deviations of a half.
    assert 420 < int(mirrored.sum()) < 580


@pytest.mark.parametrize(("size", "margin"), [(8, 1), (16, 2), (20, 2), (33, 4)])
def test_each_image_is_moved_by_up_to_an_eighth(size: int, margin: int) -> None:
    images = noise(60, size)
    down, right = torch.randint(2 * margin + 1, (2, 60, 1), generator=seeded(3)).squeeze(2).tolist()
    expected = torch.zeros_like(images)
    for i, (y, x) in enumerate(zip(down, right, strict=True)):
        for row in range(size):
            for column in range(size):
                from_row, from_column = row + y - margin, column + x - margin
                if 0 <= from_row < size and 0 <= from_column < size:
                    expected[i, :, row, column] = images[i, :, from_row, from_column]
    result = crop(images, seeded(3))
    assert torch.equal(result, expected)
    assert set(down) == set(right) == set(range(2 * margin + 1))
    # Black comes in at all four sides: the images have no black of their own.
    for side in (result[:, :, 0], result[:, :, -1], result[:, :, :, 0], result[:, :, :, -1]):
        assert (side == 0).any()


def test_images_too_small_to_be_moved_stay() -> None:
    images = noise(20, 7)
    assert torch.equal(crop(images, seeded()), images)


@pytest.mark.parametrize("size", [8, 32, 65])
@pytest.mark.parametrize("antialias", [False, True])
def test_boxes_are_resized_as_torchvision_does_it(size: int, antialias: bool) -> None:
    """But for what lies between two grey levels: it is rounded once here, from values of one more rounding.

    Nothing is made smaller, so that smoothing would change nothing.
    """
    images, boxes = noise(60, size), draw_boxes(60, size, seeded())
    result = resize_boxes(images, boxes)
    assert result.dtype == torch.uint8
    for image, box, found in zip(images, boxes.T.tolist(), result, strict=True):
        expected = resized_crop_of_torchvision(image.float(), *box, [size, size], antialias=antialias)
        assert float((found.float() - expected).abs().max()) <= 0.51


def test_a_box_is_resized_by_hand() -> None:
    """Of a row 0, 100, 200, 250 the box of the middle two becomes 100, 125, 175, 200; and the rows likewise."""
    row = torch.tensor([0, 100, 200, 250], dtype=torch.uint8)
    boxes = torch.tensor([[1], [1], [2], [2]])
    across = row.expand(1, 2, 4, 4).contiguous()
    assert resize_boxes(across, boxes)[0, 1].tolist() == [[100, 125, 175, 200]] * 4
    assert resize_boxes(across.mT.contiguous(), boxes)[0, 0].T.tolist() == [[100, 125, 175, 200]] * 4
    whole = torch.tensor([[0], [0], [4], [4]])
    assert torch.equal(resize_boxes(across, whole), across)


@pytest.mark.parametrize("size", [32, 224])
def test_boxes_are_drawn_as_torchvision_draws_them(size: int) -> None:
    """Kolmogorov and Smirnov: the largest distance of the distributions of first row, first column, height, width."""
    count = 4000
    torch.manual_seed(1)
    image = torch.empty(3, size, size)
    theirs = torch.tensor([RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(count)]).T
    ours = draw_boxes(count, size, seeded(2))
    grid = torch.arange(size + 1)
    for mine, their in zip(ours, theirs, strict=True):
        below = [(values[:, None] <= grid).float().mean(0) for values in (mine, their)]
        # A larger distance has a chance of one in a thousand.
        assert float((below[0] - below[1]).abs().max()) < 1.95 * (2 / count) ** 0.5
    corners, sides = ours.view(2, 2, count)
    assert bool((corners >= 0).all())
    assert bool((corners + sides <= size).all())
    assert len(ours.T.unique(dim=0)) > count / 2


def test_a_box_that_never_fits_is_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    assert draw_boxes(5, 1, seeded()).tolist() == [[0] * 5, [0] * 5, [1] * 5, [1] * 5]
    monkeypatch.setattr("benchmark.images.augment._AREAS", (4.0, 4.0))
    images = noise(5, 8)
    assert torch.equal(resized_crop(images, seeded()), images)


@pytest.mark.parametrize("names", [*((name,) for name in AUGMENTATIONS), ("flip", "crop"), ("crop", "flip")])
def test_the_generator_decides(names: tuple[str, ...]) -> None:
    images = noise(50, 16)
    results = [augmentation(names, seeded(seed))(images) for seed in (0, 0, 1)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    augment = augmentation(names, seeded())
    assert not torch.equal(augment(images), augment(images)), "each batch has draws of its own"


def test_changes_are_made_in_the_order_given() -> None:
    images = noise(50, 16)
    generator = seeded()
    assert torch.equal(augmentation(("crop", "flip"), seeded())(images), flip(crop(images, generator), generator))
    assert augmentation((), seeded())(images) is images


@pytest.mark.parametrize("change", _CHANGES.values())
def test_the_layout_in_memory_changes_nothing_and_stays(change: Callable[[Tensor, torch.Generator], Tensor]) -> None:
    images = noise(50, 16)
    before = images.clone()
    last = images.contiguous(memory_format=CHANNELS_LAST)
    result = change(last, seeded())
    assert result.dtype == torch.uint8
    assert result.is_contiguous(memory_format=CHANNELS_LAST)
    assert torch.equal(result, change(images, seeded()))
    assert torch.equal(images, before)


@pytest.fixture
def seen(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, tuple[str, ...]], list[tuple[Tensor, Tensor]]]:
    """seen("sgd", ("flip",)): the minibatches of an epoch of the second task."""

    def learned(name: str, augment: tuple[str, ...]) -> list[tuple[Tensor, Tensor]]:
        minibatches: list[tuple[Tensor, Tensor]] = []
        cell, how = make_cell(name), Training(Recipe(), epochs=1, batch_size=8, augment=augment)
        state = learn(cell, start(cell), tiny_tasks[0], how).state
        with monkeypatch.context() as patched:
            patched.setattr(Method, "before_forward", lambda self, strategy, **_: minibatches.append(strategy.mbatch))
            learn(cell, state, tiny_tasks[1], how)
        return minibatches

    return learned


def test_every_method_sees_the_same_changes_of_the_same_images(seen: Callable) -> None:
    """Replayed images are changed with random numbers of their own."""
    sgd, er = seen("sgd", AUGMENTATIONS), seen("er", AUGMENTATIONS)
    assert len(sgd) == 5
    for (images, labels), (others, other_labels) in zip(sgd, er, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, other_labels)


def test_augmentation_changes_images_but_neither_labels_nor_their_order(seen: Callable) -> None:
    plain, augmented = seen("sgd", ()), seen("sgd", ("flip",))
    changed = 0
    for (images, labels), (others, other_labels) in zip(plain, augmented, strict=True):
        assert torch.equal(labels, other_labels)
        for image, other in zip(images, others, strict=True):
            assert torch.equal(other, image) or torch.equal(other, image.flip(2))
            changed += not torch.equal(other, image)
    assert 8 <= changed <= 32


def test_replayed_images_are_changed_too(
    make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the augmentations that a task is given, the one for replay sees each step's replay batch."""
    calls: list[list[int]] = []

    def counted(names: tuple[str, ...], generator: torch.Generator) -> Callable[[Tensor], Tensor]:
        calls.append([])
        augment, counts = augmentation(names, generator), calls[-1]
        return lambda images: (counts.append(len(images)), augment(images))[1]

    cell, how = make_cell("er"), Training(Recipe(), epochs=1, batch_size=8, augment=("flip",))
    state = learn(cell, start(cell), tiny_tasks[0], how).state
    monkeypatch.setattr(learner, "augmentation", counted)
    learn(cell, state, tiny_tasks[1], how)
    assert calls == [[8] * 5, [8] * 5]
