from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.images.source import ArrayImages
from benchmark.images.store import store_folder
from benchmark.streams import build
from benchmark.streams.build import build_stream
from benchmark.streams.source import RawTask, StreamSource
from methods.errors import UserError

REAL_TASKS = Path(__file__).parents[4] / "shared" / "data" / "tasks"


def images(*per_class: int) -> ArrayImages:
    """Images of 8x8 pixels, every one different, per_class[c] of class c, the classes taking turns."""
    labels = [c for turn in range(max(per_class, default=0)) for c, count in enumerate(per_class) if turn < count]
    pixels = np.zeros((len(labels), 8, 8, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(len(labels)) % 256
    pixels[:, 0, 0, 1] = np.arange(len(labels)) // 256
    return ArrayImages(pixels, labels)


def raw(name="task", train=(20, 20), test=(5, 5)) -> RawTask:
    classes = tuple(f"class {c}" for c in range(len(train)))
    return RawTask(name, classes, images(*train), None if test is None else others(*test))


def others(*per_class: int) -> ArrayImages:
    """As `images`, and no image is among those."""
    source = images(*per_class)
    source.images[:, 0, 0, 2] = 1
    return source


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def stream_of(monkeypatch):
    """stream_of(raw_task, ...)(**options): build_stream on these tasks."""

    def of(*raw_tasks):
        class Fixed(StreamSource):
            default_image_size = 8

            def raw_tasks(self, limit):
                return list(raw_tasks)[:limit]

        monkeypatch.setattr(build.streams, "get", lambda name: Fixed)
        return lambda **options: build_stream("fixed", **options)

    return of


def numbers(part) -> list[int]:
    """Which of a source's images these are."""
    return (part.images[:, 0, 0, 0].int() + 256 * part.images[:, 1, 0, 0].int()).tolist()


def counts(part) -> list[int]:
    return torch.bincount(part.labels).tolist()


def test_a_task_is_decoded_and_split(stream_of):
    said = []
    stream = stream_of(raw(train=(300, 100)), raw("other"))(progress=said.append)
    task = stream.tasks[0]
    assert [task.name for task in stream.tasks] == ["task", "other"]
    assert task.classes == ("class 0", "class 1")
    assert task.train.images.dtype == torch.uint8
    assert task.train.images.shape == (360, 3, 8, 8)
    assert task.train.labels.dtype == torch.int64
    assert counts(task.train) == [270, 90]
    assert counts(task.validation) == [30, 10]
    assert counts(task.test) == [5, 5]
    assert sorted(numbers(task.train) + numbers(task.validation)) == list(range(400))
    assert said[0] == "reading task 1 of 2, task: 2 classes, 360 training, 40 validation and 10 test images"


def test_nothing_is_decoded_twice(stream_of, monkeypatch):
    make = stream_of(raw(), raw("other", test=None))
    first = make()
    monkeypatch.setattr(ArrayImages, "read", lambda self, index: pytest.fail("an image was decoded again"))
    said = []
    second = make(progress=said.append, warn=lambda text: None)
    assert said == []
    assert second.fingerprint == first.fingerprint
    for one, other in zip(first.tasks, second.tasks, strict=True):
        for split in ("train", "validation", "test"):
            assert torch.equal(getattr(one, split).images, getattr(other, split).images)
            assert torch.equal(getattr(one, split).labels, getattr(other, split).labels)


def test_stores_that_cannot_be_used_are_told_in_one_line_and_decoded_again(stream_of, monkeypatch):
    make = stream_of(raw(), raw("other", train=(30, 20)))
    warned: list[str] = []
    first = make(warn=warned.append)
    fingerprint, pixels = first.fingerprint, first.tasks[1].train.images.clone()
    assert warned == []
    for path in store_folder().glob("*/pixels"):
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(content)
    second = make(warn=warned.append)
    assert second.fingerprint == fingerprint
    assert torch.equal(second.tasks[1].train.images, pixels)
    assert warned == [
        f"decoded images in {store_folder()} could not be used, and were decoded again: "
        "task, train (its bytes are not those that were written) and 4 other splits"
    ], "the test images of both tasks are the same"
    make(warn=warned.append)
    assert len(warned) == 1


@pytest.mark.parametrize("options", [{"image_size": 9}, {"train_images": 20}], ids=str)
def test_other_settings_are_decoded_anew(stream_of, monkeypatch, options):
    make = stream_of(raw())
    make()
    monkeypatch.setattr(ArrayImages, "read", lambda self, index: pytest.fail("decoded"))
    with pytest.raises(pytest.fail.Exception, match="decoded"):
        make(**options)


def test_a_source_that_cannot_tell_its_images_is_decoded_every_time(stream_of, monkeypatch, tmp_path):
    monkeypatch.setattr(ArrayImages, "identity", lambda self, indices: None)
    make = stream_of(raw(train=(40, 40)))
    said = []
    (first,), (second,) = (make(progress=said.append).tasks for _ in range(2))
    assert len(said) == 2
    assert not list(tmp_path.iterdir())
    assert torch.equal(first.train.images, second.train.images)
    assert numbers(first.train) == sorted(numbers(first.train))


def test_labels_stay_with_their_images(stream_of):
    (task,) = stream_of(raw())(train_images=14).tasks
    for part in (task.train, task.validation, task.test):
        assert part.labels.tolist() == [number % 2 for number in numbers(part)]


def test_images_are_chosen_per_class(stream_of):
    (task,) = stream_of(raw(train=(4, 90, 90), test=(1, 9, 9)))(train_images=30, test_images=5).tasks
    assert len(task.train) == 27
    assert len(task.validation) == 3
    assert sum(map(torch.tensor, (counts(task.train), counts(task.validation)))).tolist() == [4, 13, 13]
    assert counts(task.test) == [1, 2, 2]


def test_more_images_than_there_are_means_all(stream_of):
    (task,) = stream_of(raw())(train_images=10_000, test_images=10_000).tasks
    assert len(task.train) + len(task.validation) == 40
    assert len(task.test) == 10


def test_a_test_split_is_made_where_there_is_none(stream_of):
    (task,) = stream_of(raw(train=(100, 50), test=None))().tasks
    assert counts(task.test) == [20, 10]
    assert len(task.validation) == 12
    assert sorted(numbers(task.train) + numbers(task.validation) + numbers(task.test)) == list(range(150))


def test_the_made_test_split_does_not_depend_on_the_counts(stream_of):
    make = stream_of(raw(train=(100, 50), test=None))
    few, all_of_them = make(train_images=20).tasks[0], make().tasks[0]
    assert numbers(few.test) == numbers(all_of_them.test)
    assert not set(numbers(few.train)) & set(numbers(few.test))


def test_the_choice_depends_on_the_task_alone(stream_of):
    options = {"train_images": 12, "test_images": 4}
    alone = stream_of(raw("b"))(**options).tasks[0]
    second = stream_of(raw("a"), raw("b"))(**options).tasks[1]
    assert alone.fingerprint == second.fingerprint
    assert alone.fingerprint != stream_of(raw("c"))(**options).tasks[0].fingerprint


def test_image_size(stream_of):
    assert stream_of(raw())(image_size=16).tasks[0].image_size == 16


def test_grey_images_have_stores_of_their_own(stream_of):
    build = stream_of(raw())
    colours, grey, again = (build(channels=channels).tasks[0] for channels in (3, 1, 3))
    assert list(grey.train.images.shape[1:]) == [1, 8, 8]
    assert torch.equal(again.train.images, colours.train.images)
    assert torch.equal(build(channels=1).tasks[0].test.images, grey.test.images)
    assert grey.train.store.about.bytes == len(grey.train) * 64


def test_first_tasks(stream_of):
    make = stream_of(raw("a"), raw("b"), raw("c"))
    assert [task.name for task in make(tasks=2).tasks] == ["a", "b"]
    assert len(make(tasks=3)) == 3


@pytest.mark.parametrize("test", [(5, 5), None])
def test_for_tuning_no_test_image_is_read_and_the_others_are_the_same(stream_of, monkeypatch, test):
    make = stream_of(raw(train=(30, 20), test=test))
    read = []
    original = ArrayImages.read
    monkeypatch.setattr(ArrayImages, "read", lambda self, index: read.append((self, index)) or original(self, index))
    (tuned,) = make(tuning=True).tasks
    monkeypatch.setattr(ArrayImages, "read", original)
    (task,) = make().tasks
    assert len(tuned.test) == 0
    assert numbers(tuned.train) == numbers(task.train)
    assert numbers(tuned.validation) == numbers(task.validation)
    assert len({id(source) for source, _ in read}) == 1, "the source of training images alone"
    assert sorted(index for _, index in read) == sorted(numbers(task.train) + numbers(task.validation))


def test_for_tuning_fewer_tasks_will_do(stream_of):
    assert len(stream_of(raw("a"), raw("b"))(tasks=3, tuning=True)) == 2


@pytest.fixture
def with_validation():
    """A task of 40 training images that gives 6 validation images, of the first class alone."""
    return replace(raw(), validation=others(6, 0))


def test_all_images_may_be_for_training(stream_of):
    (task,) = stream_of(raw(train=(1, 30)))(validation=0).tasks
    assert (counts(task.train), len(task.validation), counts(task.test)) == ([1, 30], 0, [5, 5])
    assert sorted(numbers(task.train)) == list(range(31))


def test_another_share_of_the_training_images_is_held_out(stream_of):
    (task,) = stream_of(raw())(validation=25).tasks
    assert (counts(task.train), counts(task.validation)) == ([15, 15], [5, 5])


def test_nothing_more_is_held_out_beside_given_validation_images(stream_of, with_validation):
    (task,) = stream_of(with_validation)(validation=0).tasks
    assert (len(task.train), counts(task.validation)) == (40, [6])


def test_a_given_validation_split_is_used_as_such(stream_of, with_validation):
    (task,) = stream_of(with_validation)().tasks
    assert sorted(numbers(task.train)) == list(range(40))
    assert counts(task.validation) == [6]
    assert counts(task.test) == [5, 5]
    assert (task.validation.images[:, 2, 0, 0] == 1).all()


def test_the_number_of_training_images_does_not_count_given_validation_images(stream_of, with_validation):
    (task,) = stream_of(with_validation)(train_images=2).tasks
    assert (counts(task.train), counts(task.validation)) == ([1, 1], [6])


def test_tuning_has_the_given_validation_images(stream_of, with_validation):
    (tuned,) = stream_of(with_validation)(tuning=True).tasks
    assert (len(tuned.train), len(tuned.validation), len(tuned.test)) == (40, 6, 0)


def test_a_test_split_is_split_off_the_training_images_beside_given_validation_images(stream_of, with_validation):
    (task,) = stream_of(replace(with_validation, test=None))().tasks
    assert (counts(task.train), counts(task.validation), counts(task.test)) == ([16, 16], [6], [4, 4])
    assert sorted(numbers(task.train) + numbers(task.test)) == list(range(40))


def test_a_validation_split_without_images_is_refused(stream_of):
    with pytest.raises(UserError, match="task 'task' has no validation images"):
        stream_of(replace(raw(), validation=others()))()


def test_one_training_image_a_class_is_enough_where_validation_is_given(stream_of):
    task = replace(raw(train=(1, 1)), validation=others(1, 0))
    assert len(stream_of(task)().tasks[0].train) == 2


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (raw("a\x1b]0;x\a"), r"^task 'a\\x1b\]0;x\\x07' has the character \\x1b in its name"),
        (replace(raw(), classes=("cat", "bell\a")), r"^task 'task': class 'bell\\x07' has the character"),
        (replace(raw(), classes=("cat", "")), r"^task 'task': class is called ''; a name is text, and not empty"),
        (replace(raw(), classes=("cat", 7)), r"^task 'task': class is called 7; a name is text"),
    ],
)
def test_names_of_any_stream_are_checked_before_anything_is_decoded(stream_of, monkeypatch, task, says):
    monkeypatch.setattr(build, "Split", None)
    with pytest.raises(UserError, match=says):
        stream_of(raw("a"), task)()


def test_notes_of_a_stream_and_of_its_tasks_are_told(stream_of):
    make = stream_of(replace(raw("a"), notes=("first", "second")), replace(raw("b"), notes=("third",)))
    warned, said = [], []
    make(warn=warned.append, progress=said.append)
    make(progress=said.append)
    assert warned == ["first", "second", "third"]
    assert said[-3:] == warned


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tasks": 0}, "--tasks 0: .* at least 1"),
        ({"tasks": 3}, "--tasks 3: fixed has only 2"),
        ({"image_size": 7}, "--image-size 7: .* at least 8"),
        ({"train_images": 3}, "--train-images 3: task 'a' has 2 classes and needs at least 4"),
        ({"train_images": 0}, "--train-images 0"),
        ({"test_images": 1}, "--test-images 1: task 'a' has 2 classes and needs at least 2"),
        ({"test_images": -5}, "--test-images -5"),
    ],
)
def test_wrong_options_are_refused(stream_of, options, says):
    with pytest.raises(UserError, match=says):
        stream_of(raw("a"), raw("b"))(**options)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (raw(train=(9,), test=(9,)), "task 'task' has 1 class; a task needs at least 2"),
        (raw(train=(), test=()), "task 'task' has no classes; a task needs at least 2"),
        (raw(train=(9, 0, 9), test=(1, 1, 1)), "class 'class 1' has no training images; each class needs at least 2"),
        (raw(train=(9, 1), test=(1, 1)), "class 'class 1' has 1 training image; each class needs at least 2"),
        (raw(train=(9, 9), test=(1, 0)), "class 'class 1' has no test images"),
        (raw(train=(9, 2), test=None), "class 'class 1' has 2 training images; each class needs at least 3 to split"),
    ],
)
def test_tasks_that_cannot_be_learned_are_refused_before_anything_is_decoded(stream_of, monkeypatch, task, says):
    monkeypatch.setattr(build, "Split", None)
    with pytest.raises(UserError, match=says):
        stream_of(raw("a"), task)()


def test_two_tasks_of_one_name_are_refused(stream_of):
    with pytest.raises(UserError, match="several tasks called 'a'"):
        stream_of(raw("a"), raw("b"), raw("a"))()


def test_the_smallest_task_that_is_accepted(stream_of):
    (task,) = stream_of(raw(train=(2, 2), test=(1, 1)))().tasks
    assert (len(task.train), len(task.validation), len(task.test)) == (3, 1, 2)


@pytest.mark.parametrize(("spec", "says"), [("nothing", "unknown stream"), ("folder", "needs DIR"), (":x", "no name")])
def test_wrong_specifications_are_refused(spec, says):
    with pytest.raises(UserError, match=says):
        build_stream(spec)


needs_real_tasks = pytest.mark.skipif(
    not REAL_TASKS.is_dir(), reason="the real data sets are not beside the repository"
)


@needs_real_tasks
def test_real_tasks_are_all_found():
    zips = sorted(file.stem for file in REAL_TASKS.glob("*.zip"))
    found = build.streams.get("folder")(str(REAL_TASKS)).raw_tasks(None)
    assert [task.name for task in found] == zips
    for task in found:
        assert task.test is not None
        assert set(task.train.labels) == set(task.test.labels) == set(range(len(task.classes)))


@needs_real_tasks
def test_real_tasks_are_built():
    stream = build_stream(
        f"folder:{REAL_TASKS}:order=scenes15,mnist,pneumonia_mnist", image_size=32, train_images=40, test_images=30
    )
    assert [len(task.classes) for task in stream.tasks] == [15, 10, 2]
    for task in stream.tasks:
        assert (len(task.train), len(task.validation), len(task.test)) == (36, 4, 30)
        assert task.train.images.shape == (36, 3, 32, 32)
        assert task.train.images.float().std() > 20
