"""What Avalanche's plugins expect of a strategy: a model with a head per task, an experience, values in its tensors.

Avalanche numbers tasks from 0.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset
from avalanche.benchmarks.utils.flat_data import ConstantSequence
from avalanche.models import BaseModel, MultiTaskModule
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import TensorDataset

from methods import Network, Samples
from methods.heads import Heads
from methods.joint_head import SHARED, JointHead


class ModelView(BaseModel, nn.Module):
    """A network as one of Avalanche's models, sharing its tensors.

    Args:
        network: with the heads that are trained.

    Attributes:
        features: the features of the last images.
    """

    def __init__(self, network: Network):
        super().__init__()
        self.network = network
        self.features: Tensor | None = None
        # Some plugins look for the last linear layer: here it is all heads together.
        self.classifier = nn.Linear(1, 1, bias=isinstance(network.heads, Heads), device="meta")
        self.share_classifier()
        self.trained = [parameter.requires_grad for parameter in self.parameters()]

    def share_classifier(self) -> None:
        """Let the last linear layer have the parameters of the heads."""
        heads = self.network.heads
        if isinstance(heads, JointHead):
            self.classifier.weight = heads.weights
        else:
            assert isinstance(heads, Heads)
            self.classifier.weight, self.classifier.bias = heads.weight, heads.bias

    def twin(self) -> nn.Module:
        """A copy with the classes that one head had after the task before; heads per task are all there."""
        return copy.deepcopy(self)

    def settle(self) -> None:
        """Go back to the state before training, except for what was learned: so the next task will find it."""
        self.train()
        self.features = None
        for parameter, trained in zip(self.parameters(), self.trained, strict=True):
            parameter.requires_grad_(trained)

    def __getstate__(self) -> dict[str, Any]:
        # Plugins copy the model, but a tensor with a history cannot be copied.
        return {**self.__dict__, "features": None}

    def get_features(self, x: Tensor) -> Tensor:
        return self.network.features(x)


class TaskModel(ModelView, MultiTaskModule):
    """A network with a head per task, as one of Avalanche's multi-task models.

    Args:
        network: with the heads of all tasks so far.
        tasks: the number of tasks so far.
    """

    def __init__(self, network: Network, tasks: int):
        super().__init__(network)
        self.known_train_tasks_labels = set(range(tasks))

    def forward(self, x: Tensor, task_labels: Tensor | None) -> Any:
        """Images -> the logits of their tasks' heads; without tasks, task -> the logits of its head."""
        self.features = self.get_features(x)
        if task_labels is None:
            return {task: self.answer(self.features, task) for task in self.known_train_tasks_labels}
        task = int(task_labels[0])
        if (task_labels == task).all():
            return self.answer(self.features, task)
        return self.network.heads.own(self.features, task_labels.to(x.device) + 1)

    def answer(self, features: Tensor, task: int) -> Tensor:
        return self.network.heads(features, str(task + 1))


class JointModel(ModelView):
    """A network with one head for the classes of all tasks, as one of Avalanche's models that know no tasks."""

    def forward(self, x: Tensor) -> Tensor:
        """Images -> the logits of all classes so far."""
        self.features = self.get_features(x)
        return self.network.answer(self.features)

    def twin(self) -> nn.Module:
        twin = copy.deepcopy(self)
        head = joint_head(twin.network)
        *before, new = head.tasks
        # Domains have the same classes.
        if new.start:
            head.shorten(new.start)
            head.begin(before, "seen")
            twin.network.use_head(SHARED, head.units)
            twin.share_classifier()
        return twin


def joint_head(network: Network) -> JointHead:
    """The head of a network that has one for all tasks."""
    assert isinstance(network.heads, JointHead)
    return network.heads


@dataclass(frozen=True)
class Experience:
    """A task as one of Avalanche's experiences."""

    dataset: TaskAwareSupervisedClassificationDataset
    current_experience: int
    task_label: int
    task_labels: tuple[int]
    classes_in_this_experience: list[int]


def experience_of(data: Samples, classes: range, number: int, task: int) -> Experience:
    """The experience that consists of a task's training images.

    Args:
        data: the images and their labels.
        classes: the task's labels.
        number: the number of tasks before it.
        task: its task label, which is 0 for all tasks if nobody knows the task.
    """
    # In a simulation the labels have no values; it only matters that every class occurs.
    simulated = torch.arange(len(data)) % len(classes) + classes.start
    labels = simulated if data.labels.is_meta else data.labels
    dataset = TaskAwareSupervisedClassificationDataset(
        [TensorDataset(data.images, data.labels)],
        data_attributes=[
            DataAttribute(labels.tolist(), "targets"),
            DataAttribute(ConstantSequence(task, len(data)), "targets_task_labels", use_in_getitem=True),
        ],
    )
    return Experience(dataset, number, task, (task,), list(classes))


class AssumedValues(TorchDispatchMode):
    """Lets code that reads values run on tensors without values: numbers are one, comparisons are false."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return args[0].dtype != torch.bool
        return func(*args, **(kwargs or {}))
