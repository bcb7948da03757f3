"""Guesses in files: what they are, that no test image is read early, and that an interruption changes nothing."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.files import StorageError
from benchmark.images.labelled import LabelledImages
from benchmark.learning.operations import feature_operations_per_image
from benchmark.learning.seeds import derive
from benchmark.storage import sealed_tensors
from benchmark.streams.base import Stream, Task
from benchmark.task_inference.feature_rules import FEATURE_RULES
from benchmark.task_inference.guesses import Guessed, Guesses
from benchmark.task_inference.rules import FEATURE_NAMES
from methods.errors import UserError
from methods.network import Network

CPU = torch.device("cpu")

#: Per image at 8x8: 3x3 kernels from 3 to 6 channels and 1x1 kernels from 6 to 5, at 64 positions.
BACKBONE_OPERATIONS = 2 * 64 * (6 * 3 * 9 + 5 * 6)


@pytest.fixture
def stream(tiny_tasks: tuple[Task, ...]) -> Stream:
    return Stream("tiny", tiny_tasks)


@pytest.fixture
def guesses(tiny_network: Network, stream: Stream) -> Callable[..., Guesses]:
    """guesses(folder, ...): of all rules, seed 3 and the three tiny tasks, or others."""

    def make(folder: Path, tasks: Stream = stream, rules: Sequence[str] = FEATURE_NAMES, **others: Any) -> Guesses:
        return Guesses(folder, tiny_network, tasks, **{"seed": 3, "rules": rules, "device": CPU} | others)

    return make


@dataclass
class Passes:
    """How many images of each split pass through the backbone, and in which order."""

    order: list[str] = field(default_factory=list)

    def count(self) -> Counter[str]:
        return Counter(self.order)


@pytest.fixture
def passes(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> Passes:
    """Notes each image that passes through the backbone, by task and split: `train-1`."""
    names = {
        hashlib.sha256(image.contiguous().numpy().tobytes()).digest(): f"{split}-{number}"
        for number, task in enumerate(stream.tasks, 1)
        for split in ("train", "validation", "test")
        for image in getattr(task, split).images
    }
    noted, features = Passes(), Network.features

    def watched(self: Network, images: Tensor) -> Tensor:
        if not images.is_meta:
            noted.order += [names[hashlib.sha256(each.contiguous().numpy().tobytes()).digest()] for each in images]
        return features(self, images)

    monkeypatch.setattr(Network, "features", watched)
    return noted


def flat(guessed: Guessed) -> dict[str, Any]:
    return {**vars(guessed), "tasks": {key: values.tolist() for key, values in guessed.tasks.items()}}


def content(folder: Path) -> dict[str, bytes]:
    """The files, without hidden ones."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def test_the_guesses_are_those_of_the_rules_on_features_of_the_backbone(
    guesses: Callable[..., Guesses], stream: Stream, tiny_network: Network, tmp_path: Path
):
    found = guesses(tmp_path / "new" / "folder").after(3)
    assert list(found.tasks) == [(rule, place) for place in (1, 2, 3) for rule in FEATURE_NAMES]
    network = tiny_network.eval()

    def features(images: LabelledImages) -> np.ndarray:
        return network.features(images.images).detach().numpy()

    for rule in FEATURE_NAMES:
        own, shared = [], {}
        for task in stream.tasks:
            arguments = features(task.train), task.train.labels.numpy()
            own.append(FEATURE_RULES[rule].learn(*arguments, derive(3, task.name, "task inference")))
            shared = FEATURE_RULES[rule].share(shared, *arguments)
        for place, task in enumerate(stream.tasks, 1):
            points = FEATURE_RULES[rule].points(features(task.test))
            near = np.stack([measure(points) for measure in FEATURE_RULES[rule].measures(own, shared)])
            assert found.tasks[rule, place].dtype == np.int64
            assert found.tasks[rule, place].tolist() == (near.argmax(0) + 1).tolist()


def test_images_that_were_learned_are_recognised(guesses: Callable[..., Guesses], stream: Stream, tmp_path: Path):
    """The tasks have different colours."""
    known = replace(stream, tasks=tuple(replace(task, test=task.train) for task in stream.tasks))
    found = guesses(tmp_path, known).after(3)
    for rule in FEATURE_NAMES:
        assert np.mean([(found.tasks[rule, place] == place).mean() for place in (1, 2, 3)]) > 0.7, rule


def test_after_fewer_tasks_only_these_are_guessed(guesses: Callable[..., Guesses], tmp_path: Path):
    all_three = guesses(tmp_path)
    first = all_three.after(1)
    assert all((values == 1).all() for values in first.tasks.values())
    second = all_three.after(2)
    assert list(second.tasks) == [(rule, place) for place in (1, 2) for rule in FEATURE_NAMES]
    assert {value for values in second.tasks.values() for value in values.tolist()} == {1, 2}


def test_costs_by_hand(guesses: Callable[..., Guesses], tmp_path: Path):
    """Features of length 5; tasks of 40 training images and 3, 2 and 4 classes."""
    costs = guesses(tmp_path)
    for learned, classes in ((1, 3), (2, 5), (3, 9)):
        found = costs.after(learned)
        assert found.bytes == {
            "centres": learned * 4 * 5 * 5,
            "gmm": learned * 4 * 20 * (2 * 5 + 1),
            "mahalanobis": 4 * 5 * classes + 4 * 5 * 5 + 8,
        }
        assert found.flops_per_image == {
            "centres": learned * 2 * 5 * 5,
            "gmm": learned * 4 * 20 * 5,
            "mahalanobis": 2 * 5 * classes,
        }
        assert found.feature_flops_per_image == BACKBONE_OPERATIONS
        assert found.evaluations == 1


def test_the_operations_of_the_features_have_no_head(tiny_network: Network):
    assert feature_operations_per_image(tiny_network, 8) == BACKBONE_OPERATIONS
    assert feature_operations_per_image(tiny_network, 16) == 4 * BACKBONE_OPERATIONS


def test_bytes_are_those_of_the_files(guesses: Callable[..., Guesses], tmp_path: Path):
    found = guesses(tmp_path).after(3)
    stored = 0
    for path in [*tmp_path.glob("task-*"), *tmp_path.glob("shared-*")]:
        tensors, _ = sealed_tensors.read_sealed(path)
        stored += sum(values.nbytes for values in tensors.values())
    assert sum(found.bytes.values()) == stored
    assert sorted(content(tmp_path)) == [
        *("after-1.safetensors", "after-2.safetensors", "after-3.safetensors", "shared-3.safetensors"),
        *("task-1.safetensors", "task-2.safetensors", "task-3.safetensors"),
    ]


def test_each_image_passes_once_and_a_test_image_only_after_its_task_is_learned(
    guesses: Callable[..., Guesses], stream: Stream, passes: Passes, tmp_path: Path
):
    made = guesses(tmp_path)
    for learned in (1, 2, 3):
        made.after(learned)
    expected = [
        name
        for number, task in enumerate(stream.tasks, 1)
        for split in ("train", "test")
        for name in [f"{split}-{number}"] * len(getattr(task, split))
    ]
    assert passes.order == expected
    for learned in (1, 2, 3):
        guesses(tmp_path).after(learned)
    assert passes.order == expected, "what is in files is read"


def test_another_process_that_goes_on_needs_no_second_pass(
    guesses: Callable[..., Guesses], stream: Stream, passes: Passes, tmp_path: Path
):
    for learned in (1, 2, 3):
        guesses(tmp_path).after(learned)
    assert set(passes.count()) == {f"{split}-{number}" for split in ("train", "test") for number in (1, 2, 3)}
    assert passes.count()["test-1"] == len(stream.tasks[0].test)
    assert passes.count()["train-1"] == len(stream.tasks[0].train)


class Forbidden:
    """Images that nobody may read."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} of test images is read")

    def __getitem__(self, place: Any) -> Any:
        raise AssertionError("one of the test images is read")


def test_no_rule_reads_a_test_image(guesses: Callable[..., Guesses], stream: Stream, tmp_path: Path):
    """Those of later tasks are never read, and those of learned ones not before all rules have learned."""

    def without(task: Task) -> Task:
        hidden = object.__new__(LabelledImages)
        vars(hidden).update(images=Forbidden(), labels=task.test.labels)
        return replace(task, test=hidden)

    hidden = replace(stream, tasks=tuple(map(without, stream.tasks)))
    with pytest.raises(AssertionError, match="test images is read"):
        guesses(tmp_path / "all", hidden).after(2)
    assert sorted(content(tmp_path / "all")) == ["shared-1.safetensors", "task-1.safetensors"]
    later = replace(stream, tasks=(stream.tasks[0], stream.tasks[1], without(stream.tasks[2])))
    assert flat(guesses(tmp_path / "later", later).after(2)) == flat(guesses(tmp_path / "open").after(2))
    assert content(tmp_path / "later") == content(tmp_path / "open")


def test_test_images_change_nothing_that_is_kept(guesses: Callable[..., Guesses], stream: Stream, tmp_path: Path):
    """Nor labels of test images the guesses."""
    task = stream.tasks[0]
    turned = LabelledImages(255 - task.test.images, task.test.labels.flip(0))
    other = replace(stream, tasks=(replace(task, test=turned), *stream.tasks[1:]))
    relabelled = LabelledImages(task.test.images, task.test.labels.flip(0))
    same = replace(stream, tasks=(replace(task, test=relabelled), *stream.tasks[1:]))
    expected = guesses(tmp_path / "a").after(3)
    assert flat(guesses(tmp_path / "c", same).after(3)) == flat(expected)
    assert flat(guesses(tmp_path / "b", other).after(3)) != flat(expected)
    kept, others = content(tmp_path / "a"), content(tmp_path / "b")
    assert all(kept[name] == others[name] for name in kept if not name.startswith("after"))


def test_validation_images_are_not_learned(guesses: Callable[..., Guesses], stream: Stream, tmp_path: Path):
    turned = tuple(
        replace(task, validation=LabelledImages(255 - task.validation.images, task.validation.labels))
        for task in stream.tasks
    )
    guesses(tmp_path / "a").after(3)
    guesses(tmp_path / "b", replace(stream, tasks=turned)).after(3)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_what_is_kept_of_a_task_is_the_same_in_any_order(
    guesses: Callable[..., Guesses], stream: Stream, tmp_path: Path
):
    one, two, three = stream.tasks
    guesses(tmp_path / "a").after(3)
    found = guesses(tmp_path / "b", replace(stream, tasks=(three, one, two))).after(3)
    first, second = content(tmp_path / "a"), content(tmp_path / "b")
    for place, other in ((1, 2), (2, 3), (3, 1)):
        assert first[f"task-{place}.safetensors"] == second[f"task-{other}.safetensors"]
    # The sums of the covariance are the same but for rounding, so that guesses are, by name.
    moved = np.array([0, 2, 3, 1])
    expected = guesses(tmp_path / "a").after(3)
    for (rule, place), values in expected.tasks.items():
        assert found.tasks[rule, moved[place]].tolist() == moved[values].tolist()


def test_a_seed_has_its_own_centres(guesses: Callable[..., Guesses], tmp_path: Path):
    guesses(tmp_path / "a").after(1)
    guesses(tmp_path / "b", seed=4).after(1)
    first, second = content(tmp_path / "a"), content(tmp_path / "b")
    assert first["task-1.safetensors"] != second["task-1.safetensors"]


def test_the_given_backbone_stays_as_it_is(guesses: Callable[..., Guesses], tiny_network: Network, tmp_path: Path):
    tiny_network.backbone.append(nn.Dropout(0.5))
    tiny_network.train()
    before = {name: tensor.clone() for name, _, tensor in tiny_network.tensors()}
    first = guesses(tmp_path / "a").after(3)
    assert tiny_network.training
    assert tiny_network.passed == 0
    assert all(torch.equal(before[name], tensor) for name, _, tensor in tiny_network.tensors())
    tiny_network.eval()
    assert flat(guesses(tmp_path / "b").after(3)) == flat(first), "in evaluation mode"


class Killed(BaseException):
    """The process ends here."""


def kill_at(number: int, patch: pytest.MonkeyPatch) -> None:
    """The process ends before it writes its file of that number, from 1."""
    numbers, write = count(1), sealed_tensors.write_atomically

    def writing(path: Path, content: bytes) -> None:
        if next(numbers) == number:
            raise Killed
        write(path, content)

    patch.setattr(sealed_tensors, "write_atomically", writing)


#: For each of three tasks: what is kept of it, what is kept together, features of its test images, guesses.
FILES = 12


def test_killed_before_any_file_and_started_again_gives_the_same_bytes(
    guesses: Callable[..., Guesses], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = [flat(guesses(tmp_path / "whole").after(learned)) for learned in (1, 2, 3)]
    for number in range(1, FILES + 1):
        folder = tmp_path / str(number)
        with monkeypatch.context() as patch:
            kill_at(number, patch)
            with pytest.raises(Killed):
                all(guesses(folder).after(learned) for learned in (1, 2, 3))
        # In one go this time, by one object.
        again = guesses(folder)
        assert flat(again.after(3)) == whole[2]
        assert [flat(again.after(learned)) for learned in (1, 2)] == whole[:2]
        assert content(folder) == content(tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_at(FILES + 1, patch)
        guesses(tmp_path / "all").after(3)


@pytest.mark.parametrize("number", range(1, 6))
def test_killed_before_any_file_is_removed_and_started_again_leaves_nothing_over(
    guesses: Callable[..., Guesses], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    """Two older files of what is kept together, and three of the features of test images, are no longer needed."""
    numbers, remove = count(1), Path.unlink

    def removing(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith(("shared-", "test-")) and next(numbers) == number:
            raise Killed
        remove(path, missing_ok)

    guesses(tmp_path / "whole").after(3)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", removing)
        with pytest.raises(Killed):
            guesses(tmp_path / "killed").after(3)
    guesses(tmp_path / "killed").after(3)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["removed", "cut", "changed"])
def test_a_damaged_or_missing_file_is_made_again(
    guesses: Callable[..., Guesses], tmp_path: Path, damage: str, passes: Passes
):
    guesses(tmp_path).after(3)
    whole = content(tmp_path)
    for name, good in whole.items():
        path = tmp_path / name
        for wanted in (1, 2, 3):
            if damage == "removed":
                path.unlink()
            else:
                path.write_bytes(good[:-1] if damage == "cut" else good[:-3] + bytes([good[-3] ^ 1]) + good[-2:])
            learned = int(name.partition("-")[2].partition(".")[0])
            found = guesses(tmp_path).after(wanted)
            assert flat(found) == flat(guesses(tmp_path).after(wanted))
            if name.startswith("after") and wanted == learned:
                assert {k: v for k, v in content(tmp_path).items() if not k.startswith("test")} == whole
            path.write_bytes(good)


def test_a_damaged_state_is_learned_again_when_it_is_needed(
    guesses: Callable[..., Guesses], tmp_path: Path, stream: Stream, passes: Passes
):
    whole = tmp_path / "whole"
    guesses(whole).after(3)
    for damaged in ("task-1", "task-2", "shared-2", "test-1"):
        folder = tmp_path / damaged
        guesses(folder).after(2)
        (folder / f"{damaged}.safetensors").write_bytes(b"damaged")
        guesses(folder).after(3)
        assert content(folder) == content(whole)
    # A task's own file needs only that task again, and what is kept together needs all of them.
    passes.order.clear()
    guesses(tmp_path / "x").after(2)
    (tmp_path / "x" / "task-2.safetensors").unlink()
    passes.order.clear()
    guesses(tmp_path / "x").after(3)
    assert set(passes.count()) == {"train-2", "train-3", "test-3"}


def test_an_old_file_is_made_again_and_the_newest_state_stays(guesses: Callable[..., Guesses], tmp_path: Path):
    """The covariance after one task is learned again; that after three is not lost."""
    guesses(tmp_path).after(3)
    whole = content(tmp_path)
    (tmp_path / "after-1.safetensors").unlink()
    guesses(tmp_path).after(1)
    now = content(tmp_path)
    assert {name: now[name] for name in whole} == whole
    assert sorted(now.keys() - whole.keys()) == ["test-1.safetensors"]


def test_files_of_other_rules_or_tasks_are_not_used(guesses: Callable[..., Guesses], tmp_path: Path, stream: Stream):
    expected = flat(guesses(tmp_path / "new", rules=("gmm",)).after(3))
    guesses(tmp_path / "old").after(3)
    assert flat(guesses(tmp_path / "old", rules=("gmm",)).after(3)) == expected
    turned = replace(stream, tasks=stream.tasks[::-1])
    expected = flat(guesses(tmp_path / "turned", turned).after(3))
    assert flat(guesses(tmp_path / "old", turned).after(3)) == expected


@pytest.mark.parametrize("rule", FEATURE_NAMES)
def test_a_rule_guesses_alone_as_with_others(guesses: Callable[..., Guesses], tmp_path: Path, rule: str):
    together, alone = guesses(tmp_path / "a").after(3), guesses(tmp_path / "b", rules=(rule,)).after(3)
    for place in (1, 2, 3):
        assert np.array_equal(alone.tasks[rule, place], together.tasks[rule, place])
    assert alone.bytes == {rule: together.bytes[rule]}
    assert alone.flops_per_image == {rule: together.flops_per_image[rule]}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_two_processes_at_once_make_the_same_once(
    guesses: Callable[..., Guesses], tmp_path: Path, passes: Passes, stream: Stream
):
    """Each of two processes notes how many images it has passed."""
    guesses(tmp_path / "alone").after(3)
    passes.order.clear()
    children = []
    for number in (1, 2):
        if not (child := os.fork()):
            status = 1
            try:
                for learned in (1, 2, 3):
                    guesses(tmp_path / "both").after(learned)
                (tmp_path / f"passed-{number}").write_text(str(len(passes.order)))
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert content(tmp_path / "both") == content(tmp_path / "alone")
    images = sum(len(task.train) + len(task.test) for task in stream.tasks)
    assert sum(int((tmp_path / f"passed-{number}").read_text()) for number in (1, 2)) == images


def test_two_threads_at_once(guesses: Callable[..., Guesses], tmp_path: Path):
    found: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: found.append(flat(guesses(tmp_path / "both").after(3)))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [flat(guesses(tmp_path / "alone").after(3))] * 2
    assert content(tmp_path / "both") == content(tmp_path / "alone")


def test_features_that_are_no_numbers_are_refused(
    guesses: Callable[..., Guesses], tmp_path: Path, tiny_network: Network
):
    class Broken(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return features / 0 * 0

    tiny_network.backbone.append(Broken())
    with pytest.raises(UserError, match="--infer: the backbone gives features of 'task-1' that are infinite or no"):
        guesses(tmp_path).after(1)


def test_a_folder_that_cannot_be_written(guesses: Callable[..., Guesses], tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        guesses(tmp_path / "file" / "folder").after(1)


def test_tasks_may_have_one_image_of_each_class(guesses: Callable[..., Guesses], tmp_path: Path, stream: Stream):
    def few(task: Task) -> Task:
        chosen = range(len(task.classes))
        return replace(task, train=LabelledImages(task.train.images[chosen], task.train.labels[chosen]))

    found = guesses(tmp_path, replace(stream, tasks=tuple(map(few, stream.tasks)))).after(3)
    assert all(set(values.tolist()) <= {1, 2, 3} for values in found.tasks.values())


def test_labels_may_be_columns_among_all_classes(guesses: Callable[..., Guesses], tmp_path: Path, stream: Stream):
    """As in the scenario "class"."""

    def moved(task: Task) -> Task:
        return replace(task, train=task.train.relabelled(task.train.labels + 17))

    guesses(tmp_path / "a").after(3)
    guesses(tmp_path / "b", replace(stream, tasks=tuple(map(moved, stream.tasks)))).after(3)
    assert content(tmp_path / "a") == content(tmp_path / "b")
