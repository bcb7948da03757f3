"""Whole data sets of torchvision, read from tiny files in their real formats."""

from __future__ import annotations

import bz2
import inspect
import sys
from pathlib import Path
from unittest.mock import MagicMock
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

from benchmark.images.store import store_key
from benchmark.streams import streams
from benchmark.streams.build import build_stream
from benchmark.streams.torchvision_list import OPEN, SETS, TorchvisionStream, read_loaded
from methods.errors import UserError


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise URLError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def picture(path: Path, red: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whatever the name of the file, its content tells what it is.
    Image.new("RGB", (8, 8), (red, 0, 0)).save(path, "PNG")


def write_dtd(root: Path, monkeypatch) -> None:
    for split, shift in (("train", 0), ("test", 100)):
        lines = []
        for c, name in enumerate(("banded", "dotted")):
            for number in range(2 if split == "test" else 3):
                picture(root / "dtd/dtd/images" / name / f"{name}_{shift + number}.jpg", shift + 10 * c + number)
                lines.append(f"{name}/{name}_{shift + number}.jpg\n")
        file = root / "dtd/dtd/labels" / f"{split}1.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(lines))


def write_gtsrb(root: Path, monkeypatch) -> None:
    folder = root / "gtsrb"
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for c in range(2):
        for number in range(3):
            picture(folder / f"GTSRB/Training/{c:05}/{number:05}.ppm", 10 * c + number)
        for number in range(2):
            picture(folder / f"GTSRB/Final_Test/Images/{c}{number}.ppm", 100 + 10 * c + number)
            rows.append(f"{c}{number}.ppm;8;8;0;0;8;8;{c}")
    (folder / "GT-final_test.csv").write_text("\n".join(rows) + "\n")


def write_pets(root: Path, monkeypatch) -> None:
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for split, shift, count in (("trainval", 0, 3), ("test", 100, 2)):
        lines = []
        for c, name in enumerate(("Abyssinian", "basset_hound")):
            for number in range(count):
                picture(folder / f"images/{name}_{shift + number}.jpg", shift + 10 * c + number)
                lines.append(f"{name}_{shift + number} {c + 1} {c + 1} 1\n")
        (folder / "annotations" / f"{split}.txt").write_text("".join(lines))


def write_imagenette(root: Path, monkeypatch) -> None:
    for c, wnid in enumerate(("n01440764", "n02102040")):
        for number in range(3):
            picture(root / f"imagenette2-320/train/{wnid}/{number}.JPEG", 10 * c + number)
        for number in range(2):
            picture(root / f"imagenette2-320/val/{wnid}/{number}.JPEG", 100 + 10 * c + number)


def write_fgvc(root: Path, monkeypatch) -> None:
    data = root / "fgvc-aircraft-2013b/data"
    for split, shift, count in (("trainval", 0, 3), ("test", 100, 2)):
        lines = []
        for c, name in enumerate(("707-320", "Cessna 172")):
            for number in range(count):
                picture(data / f"images/{shift + 10 * c + number}.jpg", shift + 10 * c + number)
                lines.append(f"{shift + 10 * c + number} {name}\n")
        (data / f"images_variant_{split}.txt").write_text("".join(lines))
    (data / "variants.txt").write_text("707-320\nCessna 172\n")


def write_usps(root: Path, monkeypatch) -> None:
    for file, shift, count in (("usps.bz2", 0, 3), ("usps.t.bz2", 100, 2)):
        # Pixels are from -1 to 1; half a step keeps rounding out of what is expected.
        values = [(c, 2 * (shift + 10 * c + n + 0.5) / 255 - 1) for c in range(2) for n in range(count)]
        lines = [f"{c + 1} " + " ".join(f"{i}:{value}" for i in range(1, 257)) for c, value in values]
        with bz2.open(root / file, "wt") as stream:
            stream.write("\n".join(lines) + "\n")


def write_svhn(root: Path, monkeypatch) -> None:
    splits = {}
    for split, shift, count in (("train", 0, 3), ("test", 100, 2)):
        reds = [shift + 10 * c + n for c in range(2) for n in range(count)]
        pixels = np.zeros((32, 32, 3, len(reds)), dtype=np.uint8)
        pixels[:, :, 0] = reds
        # Of zeros, the label is 10.
        savemat(root / f"{split}.mat", {"X": pixels, "y": np.repeat([[10], [1]], count, axis=0)})
        splits[split] = ["", f"{split}.mat", None]
    monkeypatch.setattr(datasets.SVHN, "split_list", splits)


def write_stl10(root: Path, monkeypatch) -> None:
    folder = root / datasets.STL10.base_folder
    folder.mkdir()
    for split, shift, count in (("train", 0, 3), ("test", 100, 2)):
        pixels = np.zeros((2 * count, 3, 96, 96), dtype=np.uint8)
        pixels[:, 0] = np.array([shift + 10 * c + n for c in range(2) for n in range(count)])[:, None, None]
        pixels.tofile(folder / f"{split}_X.bin")
        np.repeat([1, 2], count).astype(np.uint8).tofile(folder / f"{split}_y.bin")
    (folder / "class_names.txt").write_text("airplane\nbird\n")
    for files in ("train_list", "test_list"):
        monkeypatch.setattr(datasets.STL10, files, [[name, None] for name, _ in getattr(datasets.STL10, files)[:2]])


class FakeHDF5:
    """h5py, of which one function is used, on files of NumPy's."""

    class File:
        def __init__(self, path: Path):
            self.content = np.load(path.with_suffix(".npz"))

        def __enter__(self):
            return self.content

        def __exit__(self, *exception):
            self.content.close()


def write_pcam(root: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", FakeHDF5)
    (root / "pcam").mkdir()
    for split, shift, count in (("train", 0, 3), ("test", 100, 2)):
        pixels = np.zeros((2 * count, 96, 96, 3), dtype=np.uint8)
        pixels[..., 0] = np.array([shift + 10 * c + n for c in range(2) for n in range(count)])[:, None, None]
        labels = np.repeat([0, 1], count).reshape(-1, 1, 1, 1)
        for kind, arrays in (("images", {"x": pixels}), ("targets", {"y": labels})):
            file = root / "pcam" / datasets.PCAM._FILES[split][kind][0]
            file.touch()
            np.savez(file.with_suffix(".npz"), **arrays)


WITH_TEST = {
    "dtd": (write_dtd, ("banded", "dotted")),
    "gtsrb": (write_gtsrb, ("0", "1")),
    "oxfordiiitpet": (write_pets, ("Abyssinian", "Basset Hound")),
    "imagenette": (write_imagenette, ("tench, Tinca tinca", "English springer, English springer spaniel")),
    "fgvcaircraft": (write_fgvc, ("707-320", "Cessna 172")),
    "usps": (write_usps, ("0", "1")),
    "svhn": (write_svhn, ("0", "1")),
    "stl10": (write_stl10, ("airplane", "bird")),
    "pcam": (write_pcam, ("0", "1")),
}


@pytest.mark.parametrize("name", WITH_TEST)
def test_sets_with_a_test_split(tmp_path, monkeypatch, name):
    """Class c has three training images, whose red is 10 c + 0, 1, 2, and two test images, from 10 c + 100 on."""
    write, classes = WITH_TEST[name]
    write(tmp_path, monkeypatch)
    (task,) = build_stream(f"torchvision:{name}:root={tmp_path}", image_size=8).tasks
    assert task.name == name
    assert task.classes == classes
    tested, train, validation = (
        list(zip(part.labels.tolist(), part.images[:, 0, 4, 4].tolist(), strict=True))
        for part in (task.test, task.train, task.validation)
    )
    assert sorted(tested) == [(0, 100), (0, 101), (1, 110), (1, 111)]
    assert sorted(train + validation) == [(0, 0), (0, 1), (0, 2), (1, 10), (1, 11), (1, 12)]


def write_eurosat(root: Path) -> None:
    for c, name in enumerate(("Forest", "River")):
        for number in range(5):
            picture(root / f"eurosat/2750/{name}/{name}_{number}.jpg", 10 * c + number)


def write_caltech101(root: Path) -> None:
    picture(root / "caltech101/101_ObjectCategories/BACKGROUND_Google/image_0001.jpg", 99)
    for c, name in enumerate(("accordion", "airplanes")):
        for number in range(5):
            picture(root / f"caltech101/101_ObjectCategories/{name}/image_{number + 1:04}.jpg", 10 * c + number)


def write_caltech256(root: Path) -> None:
    for c, name in enumerate(("001.ak47", "002.american-flag")):
        for number in range(5):
            file = f"{c + 1:03}_{number + 1:04}.jpg"
            picture(root / "caltech256/256_ObjectCategories" / name / file, 10 * c + number)


@pytest.mark.parametrize(
    ("name", "write", "classes"),
    [
        ("eurosat", write_eurosat, ("Forest", "River")),
        ("caltech101", write_caltech101, ("accordion", "airplanes")),
        ("caltech256", write_caltech256, ("001.ak47", "002.american-flag")),
    ],
)
def test_of_sets_without_a_test_split_a_part_is_held_out(tmp_path, name, write, classes):
    write(tmp_path)
    (raw,) = TorchvisionStream(name, str(tmp_path)).raw_tasks(None)
    assert (raw.name, raw.classes, raw.test) == (name, classes, None)
    assert list(raw.train.labels) == [0] * 5 + [1] * 5
    assert [raw.train.read(i).getpixel((4, 4))[0] for i in (0, 4, 5, 9)] == [0, 4, 10, 14]
    (task,) = build_stream(f"torchvision:{name}:root={tmp_path}", image_size=8).tasks
    assert (len(task.train) + len(task.validation), len(task.test)) == (8, 2)


def test_several_sets_are_tasks_in_the_order_given(tmp_path, monkeypatch, write_mnist, write_cifar):
    write_mnist(tmp_path / "FashionMNIST" / "raw", per_class=2)
    write_cifar(datasets.CIFAR10, tmp_path, per_class=1)
    write_dtd(tmp_path, monkeypatch)
    stream = build_stream(f"torchvision:fashionmnist,dtd,cifar10:root={tmp_path}", image_size=8)
    assert [task.name for task in stream.tasks] == ["fashionmnist", "dtd", "cifar10"]
    fashion, _, cifar = stream.tasks
    assert fashion.classes == tuple(datasets.FashionMNIST.classes)
    # As the fixtures fill class c: 20 c + 1 of the test images in grey, 2 c + 1.
    assert fashion.test.images[3, :, 6, 6].tolist() == [61] * 3
    assert cifar.test.images[:, :, 4, 4].tolist() == [[2 * c + 1] * 3 for c in range(10)]
    assert all(part.store for task in stream.tasks for part in (task.train, task.test))


def test_only_the_tasks_that_are_asked_for_are_read(tmp_path, monkeypatch):
    write_dtd(tmp_path, monkeypatch)
    assert len(build_stream(f"torchvision:dtd,svhn:root={tmp_path}", tasks=1, image_size=8)) == 1


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_known_to_torchvision_as_it_is_called_here(name):
    one = SETS[name]
    assert name == one.dataset.lower()
    signature = inspect.signature(getattr(datasets, one.dataset))
    for arguments in filter(None, (one.train, one.test)):
        loader = {"loader": str} if one.read is read_loaded else {}
        signature.bind("root", download=True, **arguments, **loader)
    assert one.test is not None or not {"split", "train"} & signature.parameters.keys()


def test_open_is_twenty_sets_or_more():
    assert len(OPEN) == 21
    assert TorchvisionStream("omniglot,open")._names == ["omniglot", *OPEN]
    summary = streams.summary("torchvision")
    assert f"torchvision:open - {len(OPEN)} of them" in summary


def test_the_documentation_names_them_all():
    text = " ".join((Path(__file__).parents[3] / "docs" / "paper.md").read_text().split())
    assert f"a task each: {', '.join(OPEN)}." in text
    *others, last = [name for name in SETS if name not in OPEN and name != "pcam"]
    assert f"Also known are {', '.join(others)}, {last} and pcam" in text


def refusal(spec: str) -> str:
    with pytest.raises(UserError) as caught:
        build_stream(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        ("flowers", "there is no data set 'flowers': did you mean 'flowers102'? known are mnist, fashionmnist, "),
        ("dtd,", "there is no data set '': known are mnist, "),
        ("dtd,svhn,dtd", "data set 'dtd' is named more than once; name it once"),
        ("open,dtd", "data set 'dtd' is named more than once; name it once"),
    ],
)
def test_what_is_refused(sets, says):
    assert refusal(f"torchvision:{sets}").startswith(f"'torchvision:{sets}': {says}")


def test_without_a_name_one_is_asked_for():
    assert refusal("torchvision") == "'torchvision' needs SETS: write torchvision:SETS"


@pytest.mark.parametrize("name", SETS)
def test_a_failed_download_is_one_sentence(tmp_path, monkeypatch, name):
    # What PCAM needs beside torchvision, whether it is installed or not.
    package = MagicMock()
    package.download.side_effect = URLError("no network here")
    for needed in ("h5py", "gdown"):
        monkeypatch.setitem(sys.modules, needed, package)
    message = refusal(f"torchvision:{name}:root={tmp_path}")
    assert message.startswith(f"the files of {SETS[name].dataset} could not be fetched or read (")
    assert "no network here" in message
    assert message.endswith(f"put what its authors publish where torchvision looks for it in {tmp_path}")


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    message = refusal(f"torchvision:pcam:root={tmp_path}")
    assert message.startswith("the files of PCAM could not be fetched or read (h5py is not found.")


def test_a_damaged_file_is_one_sentence(tmp_path, monkeypatch):
    write_svhn(tmp_path, monkeypatch)
    (tmp_path / "train.mat").write_bytes(b"no matrix")
    assert refusal(f"torchvision:svhn:root={tmp_path}").startswith("the files of SVHN could not be fetched or read (")


def test_decoded_images_are_kept_until_a_file_changes(tmp_path, monkeypatch):
    write_dtd(tmp_path, monkeypatch)

    def key() -> str | None:
        (task,) = TorchvisionStream("dtd", str(tmp_path)).raw_tasks(None)
        return store_key(task.train, range(6), 8)

    before = key()
    assert before is not None
    assert key() == before
    picture(tmp_path / "dtd/dtd/images/dotted/dotted_1.jpg", 200)
    assert key() != before
