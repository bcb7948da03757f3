"""What plugins of Avalanche see: the model, the experience, and values where there are none."""

from __future__ import annotations

import copy

import pytest
import torch
from avalanche.models import avalanche_forward
from avalanche.training.utils import get_last_fc_layer

from baselines.avalanche.view import AssumedValues, JointModel, TaskModel, experience_of
from benchmark.images.labelled import LabelledImages
from benchmark.streams.base import Task
from methods.joint_head import SHARED, JointHead
from methods.network import Network


@pytest.fixture
def model(tiny_network: Network) -> TaskModel:
    tiny_network.heads.add("1", 3)
    tiny_network.heads.add("2", 2)
    tiny_network.use_head("2", 2)
    return TaskModel(tiny_network, 2)


@pytest.fixture
def images(tiny_tasks: tuple[Task, ...]) -> torch.Tensor:
    return tiny_tasks[0].test.images[:8]


def test_tasks_say_which_head_answers(model: TaskModel, images: torch.Tensor) -> None:
    model.eval()
    network = model.network
    one, two = (network.heads(network.features(images), key) for key in ("1", "2"))
    torch.testing.assert_close(model(images, torch.zeros(8)), one)
    torch.testing.assert_close(model(images, torch.ones(8)), two)
    every = model(images, None)
    assert every.keys() == {0, 1}
    torch.testing.assert_close(every[0], one)
    torch.testing.assert_close(every[1], two)
    mixed = model(images, torch.tensor([0, 1] * 4))
    torch.testing.assert_close(mixed[::2], one[::2])
    torch.testing.assert_close(mixed[1::2, :2], two[1::2])
    assert mixed[1::2, 2].isneginf().all()


def test_shares_its_tensors_with_the_network(model: TaskModel) -> None:
    assert {id(p) for p in model.parameters()} == {id(p) for p in model.network.parameters()}
    assert get_last_fc_layer(model)[1].weight is model.network.heads.weight


def test_can_be_copied_after_a_pass(model: TaskModel, images: torch.Tensor) -> None:
    logits = model(images, torch.zeros(8))
    assert model.features is not None
    torch.testing.assert_close(model.features, model.get_features(images))
    twin = copy.deepcopy(model)
    assert twin.features is None
    torch.testing.assert_close(twin(images, torch.zeros(8)), logits)
    assert twin.classifier.weight is twin.network.heads.weight is not model.network.heads.weight


def test_settles_as_the_next_task_finds_it(tiny_network: Network, images: torch.Tensor) -> None:
    tiny_network.heads.add("1", 3)
    frozen, *_ = tiny_network.parameters()
    frozen.requires_grad_(False)
    model = TaskModel(tiny_network, 1)
    model(images, torch.zeros(8))
    model.eval().requires_grad_(False)
    model.settle()
    assert all(module.training for module in model.modules())
    assert [p for p in model.parameters() if not p.requires_grad] == [frozen]
    assert model.features is None


@pytest.fixture
def joint(tiny_network: Network) -> JointModel:
    """After three classes, two more are to be learned."""
    tiny_network.heads = JointHead(5)
    tiny_network.heads.add(SHARED, 3)
    tiny_network.heads.add(SHARED, 2)
    tiny_network.heads.begin((range(3), range(3, 5)), "seen")
    tiny_network.use_head(SHARED, 5)
    return JointModel(tiny_network)


def test_one_head_for_all_tasks_asks_for_no_task(joint: JointModel, images: torch.Tensor) -> None:
    joint.eval()
    torch.testing.assert_close(joint(images), joint.network(images))
    assert avalanche_forward(joint, images, torch.ones(8)).shape == (8, 5)
    assert {id(p) for p in joint.parameters()} == {id(p) for p in joint.network.parameters()}
    assert get_last_fc_layer(joint)[1].weight is joint.network.heads.weights


def test_a_copy_of_the_model_before_has_the_classes_of_then(joint: JointModel, images: torch.Tensor) -> None:
    twin = joint.eval().twin()
    torch.testing.assert_close(twin(images), joint(images)[:, :3])
    assert twin.classifier.weight is twin.network.heads.weights
    assert twin.network.heads.tasks == (range(3),)
    assert joint(images).shape == (8, 5)


def test_a_copy_among_domains_has_all_classes(joint: JointModel, images: torch.Tensor) -> None:
    joint.network.heads.begin((range(5), range(5)), "seen")
    torch.testing.assert_close(joint.eval().twin()(images), joint(images))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_experience_among_the_classes_of_all_tasks(tiny_tasks: tuple[Task, ...], device: str) -> None:
    train = tiny_tasks[1].train
    data = LabelledImages(train.images.to(device), (train.labels + 3).to(device))
    experience = experience_of(data, range(3, 5), 1, 0)
    assert (experience.current_experience, experience.task_label, experience.task_labels) == (1, 0, (0,))
    assert experience.classes_in_this_experience == [3, 4]
    assert experience.dataset.task_set[0].targets.uniques == {3, 4}


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_experience_has_what_avalanches_have(tiny_tasks: tuple[Task, ...], device: str) -> None:
    train = tiny_tasks[2].train
    experience = experience_of(LabelledImages(train.images.to(device), train.labels.to(device)), range(4), 2, 2)
    assert (experience.current_experience, experience.task_label, experience.task_labels) == (2, 2, (2,))
    assert experience.classes_in_this_experience == [0, 1, 2, 3]
    dataset = experience.dataset
    assert len(dataset) == 40
    assert dataset.targets_task_labels.uniques == {2}
    assert dataset.task_set[2].targets.uniques == {0, 1, 2, 3}
    loader = torch.utils.data.DataLoader(dataset, batch_size=40, collate_fn=dataset.collate_fn)
    images, labels, tasks = next(iter(loader))
    assert (images.shape, images.dtype, images.device.type) == ((40, 3, 8, 8), torch.uint8, device)
    assert tasks.tolist() == [2] * 40
    if device == "cpu":
        assert torch.equal(images, train.images)
        assert torch.equal(labels, train.labels)
        assert list(dataset.targets) == train.labels.tolist()


def test_assumed_values() -> None:
    nothing = torch.empty(2, device="meta")
    with pytest.raises(RuntimeError):
        bool(nothing.sum())
    with AssumedValues():
        assert nothing.sum().item() == 1
        assert not (nothing > 0).any()
        assert torch.tensor(3).item() == 3
