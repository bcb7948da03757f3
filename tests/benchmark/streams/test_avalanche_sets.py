import io

import pytest
import torch
from PIL import Image
from torchvision import datasets

from benchmark.streams.avalanche_sets import ExperienceImages
from benchmark.streams.build import build_stream
from methods.errors import UserError


@pytest.fixture
def root(tmp_path, write_mnist):
    write_mnist(tmp_path / "MNIST" / "raw")
    return tmp_path


def test_experiences_become_tasks(root):
    state = torch.random.get_rng_state()
    stream = build_stream(f"avalanche:SplitMNIST:experiences=5:root={root}", image_size=28)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [task.name for task in stream.tasks] == [f"splitmnist-{number}" for number in range(1, 6)]
    assert sorted(name for task in stream.tasks for name in task.classes) == list("0123456789")
    for task in stream.tasks:
        assert task.classes == tuple(sorted(task.classes))
        assert task.test.labels.unique().tolist() == [0, 1]
        for split, part in enumerate((task.train, task.test)):
            assert part.images[:, 0, 10, 10].tolist() == [20 * int(task.classes[c]) + split for c in part.labels]
            assert (part.images[:, :, 3, 4] == 255).all()


def test_permutations_differ_between_tasks_and_agree_within(root):
    stream = build_stream(f"avalanche:PermutedMNIST:experiences=2:root={root}", image_size=28)
    assert [len(task.classes) for task in stream.tasks] == [10, 10]
    places = [
        {tuple(image[0].eq(255).nonzero()[0].tolist()) for part in (task.train, task.test) for image in part.images}
        for task in stream.tasks
    ]
    assert [len(place) for place in places] == [1, 1]
    assert places[0] != places[1]


def test_sets_of_pictures(tmp_path, write_cifar):
    write_cifar(datasets.CIFAR10, tmp_path, per_class=1)
    (task,) = build_stream(f"avalanche:SplitCIFAR10:experiences=2:root={tmp_path}", tasks=1).tasks
    assert task.test.images.shape == (5, 3, 32, 32)
    assert task.test.images[:, 0, 0, 0].tolist() == [2 * int(task.classes[c]) + 1 for c in task.test.labels]


def test_without_a_cheap_identity_nothing_is_stored(root, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (task,) = build_stream(f"avalanche:SplitMNIST:experiences=5:root={root}", tasks=1).tasks
    assert task.train.store is None
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("avalanche", "needs BENCHMARK"),
        ("avalanche:SplitMNST", "did you mean 'SplitMNIST'.* known are PermutedMNIST, .*SplitTinyImageNet"),
        ("avalanche:CORe50", "not a classic benchmark that gives task labels"),
        ("avalanche:SplitMNIST", "needs experiences"),
        ("avalanche:SplitImageNet", "needs root"),
        ("avalanche:SplitInaturalist:experiences=3", "takes no experiences"),
        ("avalanche:SplitMNIST:experiences=0", "experiences=0 is too few"),
        ("avalanche:SplitMNIST:experiences=3:root={root}", "Avalanche cannot make SplitMNIST .*divided"),
    ],
)
def test_what_cannot_be_made_is_refused(root, spec, says):
    with pytest.raises(UserError, match=says) as refusal:
        build_stream(spec.format(root=root))
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_postscript_starts_no_program(monkeypatch, tmp_path):
    class Dataset:
        targets = (0, 1)

        def __getitem__(self, index):
            page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
            return (Image.open(io.BytesIO(page)).convert("RGB"),)

    script = tmp_path / "gs"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UserError, match="image 1 of task cannot be read"):
        ExperienceImages(Dataset(), [0, 1], "task").read(1)
    assert not (tmp_path / "started").exists()
