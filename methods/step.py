"""What a method's hooks get: the task that is being trained, at its present step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from methods.data import Samples
from methods.network import Network


class Step(Protocol):
    """The training of one task, at its present step.

    B is the size of the minibatch, C the channels of an image and S its height and width, D the length of a feature
    vector. All tensors may be on the device "meta", which means without values: see `Method`.

    Attributes:
        model: the network that learns, with the heads that the method trains.
        task_data: the task's training images and labels, on the CPU.
        device: the device of the network, the minibatches and most of `Method.kept`.
        optimizer: this task's optimiser; its learning rate follows the recipe's schedule.
        trained: the parameters that the optimiser holds, heads included. A parameter that the loss does not depend on
            has no gradient (`grad` is None).
        loss: the minibatch's loss so far, a scalar with a history. Available from `before_backward` on, where you may
            add to it (`step.loss += ...`).
        augment_replay: stored images [N, C, S, S] -> the same, changed at random like the task's own images
            (--augment), in the same memory format.
        steps_per_epoch: minibatches of an epoch.
    """

    model: Network
    task_data: Samples
    device: torch.device
    optimizer: torch.optim.Optimizer
    trained: list[nn.Parameter]
    loss: Tensor
    augment_replay: Callable[[Tensor], Tensor]
    steps_per_epoch: int

    @property
    def images(self) -> Tensor:
        """The minibatch: uint8 [B, C, S, S]; or features [B, D] if these were computed once, see `Method.part`."""

    @property
    def unchanged_images(self) -> Tensor:
        """The minibatch's images before they were changed at random (--augment): what a memory stores."""

    @property
    def labels(self) -> Tensor:
        """The minibatch's labels: int64 [B]; with a head for all tasks, columns of its logits."""

    @property
    def logits(self) -> Tensor:
        """What `Method.forward` returned: [B, classes of the task]. Available from `after_forward` on."""

    @property
    def batch_size(self) -> int:
        """Images of a minibatch, as in the settings. An epoch's last one may have fewer, or one more."""

    @property
    def epochs(self) -> int:
        """Passes over the training images."""

    @property
    def epoch(self) -> int:
        """The number of the present epoch, from 1; in `after_training_epoch` the epoch that has just ended."""

    @property
    def steps_done(self) -> int:
        """Steps of the present epoch before this one."""

    def task_features(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Features [n, D] and labels [n] of all images of `task_data`, in their order, in batches, on the device.

        The network is in evaluation mode and computes at the run's precision, without a history.
        """

    def shared_parameters(self) -> dict[str, nn.Parameter]:
        """Name -> trained parameter of the part "shared". Heads are not among them, but one head for all tasks is.

        That head is the last one. For new classes it becomes longer at its end.
        """
