"""The streams of the protocols whose data cannot be had here, on small files of the same formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from benchmark.planning.scenarios import check_classes
from benchmark.protocols import find_protocol
from benchmark.streams import streams
from benchmark.streams.base import Stream
from benchmark.streams.build import build_stream
from methods.errors import UserError
from methods.options import construct, parse_spec


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def stream_of(protocol: str, part: str, folder: Path, tasks: int | None = None) -> Stream:
    """The stream of a part, from the data in a folder."""
    (found,) = [each for each in find_protocol(protocol).parts if each.name == part]
    assert found.data is not None
    spec = found.run_options(found.data.folder(str(folder), protocol))["stream"]
    return build_stream(spec, image_size=8, validation=0, tasks=tasks)


def test_split_cifar100_of_van_de_ven_has_one_answer_for_all_domains(tmp_path, write_cifar):
    write_cifar(datasets.CIFAR100, tmp_path, per_class=1)
    with pytest.raises(UserError, match=r"there is no .*C3-5x16-bn-e100; van-de-ven-split-cifar100 needs a folder DIR"):
        stream_of("van-de-ven-split-cifar100", "task", tmp_path)
    (tmp_path / "C3-5x16-bn-e100").touch()
    for part in ("task", "domain", "class", "separate-networks"):
        stream = stream_of("van-de-ven-split-cifar100", part, tmp_path, tasks=3)
        assert [len(task.classes) for task in stream.tasks] == [10] * 3
        check_classes("domain", stream)
    labels = [task.train.labels.tolist() for task in stream.tasks]
    assert labels == [sorted(labels[0])] * 3


def test_cifar100_of_ranpac_has_the_order_of_its_seed(tmp_path, write_cifar):
    write_cifar(datasets.CIFAR100, tmp_path, per_class=1)
    stream = stream_of("ranpac-vit", "cifar100", tmp_path)
    np.random.seed(1993)
    order = np.random.permutation(100)
    found = [int(name.removeprefix("class ")) for task in stream.tasks for name in task.classes]
    assert found == order.tolist()
    assert [len(task.classes) for task in stream.tasks] == [10] * 10


@pytest.mark.parametrize(
    ("part", "classes", "sizes"),
    [
        ("cub", 200, [20] * 10),
        ("imagenet-r", 200, [20] * 10),
        ("imagenet-a", 200, [20] * 10),
        ("vtab", 50, [10] * 5),
        ("cars", 196, [16] + [20] * 9),
    ],
)
def test_the_folders_of_ranpac_are_divided_as_its_settings_say(tmp_path, write_task, part, classes, sizes):
    names = [f"{number:03}" for number in range(classes)]
    write_task(tmp_path / part, classes=names, train=1, test=1)
    with pytest.raises(UserError, match=f"there is no {tmp_path / 'nowhere' / part / 'train'}; ranpac-vit needs"):
        stream_of("ranpac-vit", part, tmp_path / "nowhere")
    (found,) = [each for each in find_protocol("ranpac-vit").parts if each.name == part]

    spec = parse_spec(found.run_options(str(tmp_path))["stream"])
    tasks = construct(streams.get(spec.name), spec).raw_tasks(None)
    assert [len(task.classes) for task in tasks] == sizes
    order = list(range(classes))
    if part != "vtab":
        np.random.seed(1993)
        order = np.random.permutation(classes).tolist()
    assert [int(name) for task in tasks for name in task.classes] == order
    assert [len(task.train.labels) for task in tasks] == sizes
