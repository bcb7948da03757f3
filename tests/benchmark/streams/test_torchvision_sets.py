from itertools import chain
from urllib.error import URLError

import pytest
import torch
from torchvision import datasets

from benchmark.streams import streams
from benchmark.streams.build import build_stream
from benchmark.streams.torchvision_sets import SplitCIFAR10, SplitCIFAR100, TorchvisionSplit, default_root
from methods.errors import UserError


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise URLError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def fills(part) -> list[int]:
    """The colour of each image."""
    assert (part.images == part.images[:, :1, :1, :1]).all()
    return part.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(("name", "folder"), [("split-mnist", "MNIST"), ("split-fashion-mnist", "FashionMNIST")])
def test_grey_sets(tmp_path, write_mnist, name, folder):
    write_mnist(tmp_path / folder / "raw")
    stream = build_stream(f"{name}:tasks=2:root={tmp_path}", image_size=28)
    assert [task.name for task in stream.tasks] == [f"{folder.lower()}-1", f"{folder.lower()}-2"]
    first, second = stream.tasks
    assert second.classes == tuple(getattr(datasets, folder).classes[5:])
    assert second.test.labels.tolist() == [0, 1, 2, 3, 4] * 4
    assert second.test.images[:, :, 10, 10].tolist() == [[20 * c + 101] * 3 for c in range(5)] * 4
    assert (second.test.images[:, :, 3, 4] == 255).all()
    assert len(first.train) + len(first.validation) == 20


def test_cifar10(tmp_path, write_cifar):
    write_cifar(datasets.CIFAR10, tmp_path, per_class=1)
    stream = build_stream(f"split-cifar10:root={tmp_path}")
    assert [task.name for task in stream.tasks] == [f"cifar10-{number}" for number in range(1, 6)]
    task = stream.tasks[3]
    assert task.classes == ("class 6", "class 7")
    assert task.image_size == 32
    assert fills(task.test) == [13, 15]
    assert fills(task.train) == [12 + 2 * label for label in task.train.labels]
    assert len(task.train) + len(task.validation) == 10


def test_cifar100(tmp_path, write_cifar):
    write_cifar(datasets.CIFAR100, tmp_path, per_class=2)
    stream = build_stream(f"split-cifar100:root={tmp_path}", tasks=2)
    assert [task.name for task in stream.tasks] == ["cifar100-01", "cifar100-02"]
    assert stream.tasks[1].classes == tuple(f"class {c}" for c in range(5, 10))
    assert fills(stream.tasks[1].test) == [11, 13, 15, 17, 19] * 2
    assert len(SplitCIFAR100(tasks=4, root=str(tmp_path)).raw_tasks(None)) == 4


def test_classes_may_be_called_by_their_place(tmp_path, write_cifar):
    """Then all tasks have the same classes, and one head may answer for all."""
    write_cifar(datasets.CIFAR10, tmp_path, per_class=1)
    stream = build_stream(f"split-cifar10:root={tmp_path}:names=place", tasks=2)
    assert [task.classes for task in stream.tasks] == [("place 1", "place 2")] * 2
    assert fills(stream.tasks[1].test) == [5, 7], "the images are those of the classes 2 and 3"


@pytest.mark.parametrize("tasks", [0, -1, 3, 10])
def test_tasks_must_share_out_the_classes(tasks):
    with pytest.raises(UserError, match=r"evenly.*1, 2, 5"):
        build_stream(f"split-cifar10:tasks={tasks}")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("split-cifar10", ""),
        ("split-cifar100", ""),
        ("split-mnist", "MNIST/raw"),
        ("split-fashion-mnist", "FashionMNIST/raw"),
    ],
)
def test_a_failed_download_says_where_files_belong(tmp_path, name, folder):
    with pytest.raises(UserError) as refusal:
        build_stream(f"{name}:root={tmp_path}")
    assert "no network here" in str(refusal.value)
    assert str(refusal.value).endswith(f"into {tmp_path / folder}")
    assert "\n" not in str(refusal.value)


def test_a_file_cut_short_is_refused(tmp_path, write_mnist):
    write_mnist(tmp_path / "MNIST" / "raw")
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match="could not be fetched or read"):
        build_stream(f"split-mnist:root={tmp_path}")


def test_default_root(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "continual-benchmark" / "datasets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".cache" / "continual-benchmark" / "datasets"


def test_all_are_registered():
    names = ("split-cifar10", "split-cifar100", "split-mnist", "split-fashion-mnist")
    assert all(issubclass(streams.get(name), TorchvisionSplit) for name in names)
    assert SplitCIFAR10().tasks == 5


def test_the_images_are_stored(tmp_path, write_mnist):
    write_mnist(tmp_path / "MNIST" / "raw")
    (task,) = build_stream(f"split-mnist:root={tmp_path}", tasks=1).tasks
    assert all(part.store is not None for part in (task.train, task.validation, task.test))


def test_labels_are_int64(tmp_path, write_mnist):
    write_mnist(tmp_path / "MNIST" / "raw")
    stream = build_stream(f"split-mnist:root={tmp_path}", tasks=1)
    assert stream.tasks[0].train.labels.dtype == torch.int64


def classes_of(stream) -> list[list[int]]:
    return [[int(name.removeprefix("class ")) for name in task.classes] for task in stream.tasks]


def test_the_order_of_classes_is_that_of_pycil(tmp_path, write_cifar):
    write_cifar(datasets.CIFAR100, tmp_path, per_class=2)
    stream = build_stream(f"split-cifar100:tasks=10:order=1993:root={tmp_path}", tasks=2)
    # numpy.random.seed(1993); numpy.random.permutation(100)
    assert classes_of(stream) == [
        [68, 56, 78, 8, 23, 84, 90, 65, 74, 76],
        [40, 89, 3, 92, 55, 9, 26, 80, 43, 38],
    ]
    task = stream.tasks[0]
    assert fills(task.train) == [2 * [68, 56, 78, 8, 23, 84, 90, 65, 74, 76][label] for label in task.train.labels]
    assert fills(task.test) == [2 * [68, 56, 78, 8, 23, 84, 90, 65, 74, 76][label] + 1 for label in task.test.labels]


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ("first=50:increment=5", [50, *[5] * 10]),
        ("increment=20", [20] * 5),
        ("tasks=11:first=50", [50, *[5] * 10]),
        ("tasks=10:order=1993:first=50", [50, 6, 6, 6, 6, 6, 5, 5, 5, 5]),
        ("tasks=2:first=98", [98, 2]),
    ],
)
def test_sizes_of_tasks(tmp_path, write_cifar, options, sizes):
    write_cifar(datasets.CIFAR100, tmp_path, per_class=2)
    stream = build_stream(f"split-cifar100:{options}:root={tmp_path}")
    assert [len(task.classes) for task in stream.tasks] == sizes
    assert sorted(chain.from_iterable(classes_of(stream))) == list(range(100)), "every class is in one task"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("tasks=2:increment=5", "exclude each other"),
        ("first=1", "first=1 must be from 2 to 98"),
        ("first=99", "first=99 must be from 2 to 98"),
        ("tasks=1:first=50", "from 2 to 26"),
        ("tasks=27:first=50", "from 2 to 26"),
        ("first=50:increment=3", "2, 5, 10, 25, 50"),
        ("increment=1", "2, 4, 5"),
        ("increment=3", "2, 4, 5"),
        ("order=-1", "order=-1 must be"),
        ("order=4294967296", "must be"),
    ],
)
def test_refused_divisions(options, reason):
    with pytest.raises(UserError, match=reason):
        build_stream(f"split-cifar100:{options}")
