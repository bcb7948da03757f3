import numpy as np
import pytest
import torch

from benchmark.streams.build import build_stream
from benchmark.streams.mnist_domains import PermutedImages, RotatedImages, RotatedMNIST
from methods.errors import UserError


@pytest.fixture
def root(tmp_path, write_mnist):
    write_mnist(tmp_path / "MNIST" / "raw")
    return tmp_path


def build(spec: str, **options):
    return build_stream(spec, channels=1, **options)


def test_the_first_task_is_mnist_itself(root):
    plain = build(f"split-mnist:tasks=1:root={root}", image_size=28).tasks[0]
    for name in ("permuted-mnist", "rotated-mnist"):
        first = build(f"{name}:tasks=2:root={root}").tasks[0]
        assert torch.equal(first.test.images, plain.test.images)
        assert torch.equal(first.test.labels, plain.test.labels)


def test_all_images_of_a_permuted_task_have_the_same_order_of_pixels(root):
    stream = build(f"permuted-mnist:tasks=3:root={root}")
    assert stream.names == ("permuted-1", "permuted-2", "permuted-3")
    first, second, third = (task.test.images.flatten(1) for task in stream.tasks)
    # Each image has one white pixel, at row 3 and column 4.
    (white,) = {int(place) for place in (first == 255).float().argmax(1)}
    assert white == 3 * 28 + 4
    places = [{int(place) for place in (images == 255).float().argmax(1)} for images in (second, third)]
    assert [len(place) for place in places] == [1, 1]
    assert len({white, *places[0], *places[1]}) == 3
    for images in (second, third):
        assert torch.equal(images.sort(1).values, first.sort(1).values), "no pixel is lost"


def test_training_and_test_images_are_permuted_alike(root):
    task = build(f"permuted-mnist:tasks=2:root={root}").tasks[1]
    places = {
        int(place) for part in (task.train, task.test) for place in (part.images.flatten(1) == 255).int().argmax(1)
    }
    assert len(places) == 1


def test_orders_depend_on_the_seed_and_the_number_only(root):
    def second(spec: str) -> torch.Tensor:
        return build(f"permuted-mnist:root={root}:{spec}", tasks=2).tasks[1].test.images

    assert torch.equal(second("tasks=2"), second("tasks=5"))
    assert not torch.equal(second("tasks=2"), second("tasks=2:seed=1"))


def test_permuted_images():
    images = np.arange(4, dtype=np.uint8).reshape(1, 2, 2)
    moved = PermutedImages(images, [0], np.array([3, 0, 2, 1]))
    assert np.asarray(moved.read(0)).tolist() == [[3, 0], [2, 1]]


def test_rotated_images():
    images = np.arange(9, dtype=np.uint8).reshape(1, 3, 3)
    turned = RotatedImages(images, [0], 90.0)
    assert np.array_equal(np.asarray(turned.read(0)), np.rot90(images[0])), "counter-clockwise"


def test_angles():
    source = RotatedMNIST(tasks=4, degrees=90)
    images = np.zeros((1, 28, 28), np.uint8)
    assert [source.changed(images, [0], number).degrees for number in (1, 2, 3, 4)] == [0, 22.5, 45, 67.5]


def test_what_is_stored_depends_on_the_change():
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    kinds = [
        PermutedImages(images, [0, 1], None),
        PermutedImages(images, [0, 1], np.array([3, 0, 2, 1])),
        PermutedImages(images, [0, 1], np.array([1, 0, 2, 3])),
        RotatedImages(images, [0, 1], 0.0),
        RotatedImages(images, [0, 1], 10.0),
    ]
    assert len({kind.identity([0, 1]) for kind in kinds}) == len(kinds)
    assert kinds[0].identity([0]) != kinds[0].identity([1])


def test_too_many_tasks_are_refused(root):
    with pytest.raises(UserError, match=r"--tasks 3.*has only 2"):
        build(f"permuted-mnist:tasks=2:root={root}", tasks=3)
    with pytest.raises(UserError, match="tasks=0 must be at least 1"):
        build("rotated-mnist:tasks=0")
