"""Exemplars: equally many stored images of each class, chosen by herding."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from baselines.shared.memory import Memory
from methods import MemorySize, Method, Network, Samples, Step
from methods.method import REPLAY


class Exemplars:
    """Images of past classes, in a method's `kept` as `Memory` stores them, for methods of the scenario "class".

    Of each class there are m = capacity / classes so far, rounded down, or all if the class has fewer (iCaRL: Rebuffi
    et al., 2017, arXiv 1611.07725). They are in the order of herding, class after class: when new classes come and m
    falls, the first ones of each class stay. If there are more classes than places, the first classes have one each.

    Args:
        method: whose `kept` and `task` are used.
        size: the capacity.
    """

    def __init__(self, method: Method, size: MemorySize):
        self.method = method
        self.size = size
        self._memory = Memory(method, size)

    def rows(self) -> dict[str, Tensor]:
        """What is stored: see `Memory.rows`. Labels are on the CPU and have values on the device "meta" too."""
        return self._memory.rows()

    def joined(self, data: Samples) -> Samples:
        """A task's images, and the exemplars of earlier tasks after them."""
        stored = self.rows()
        if not stored:
            return data
        labels = stored["labels"].to(data.labels)
        return Samples(torch.cat([data.images, stored["images"]]), torch.cat([data.labels, labels]))

    @torch.no_grad()
    def renew(self, step: Step) -> None:
        """At the end of a task, choose exemplars of its classes, and let others leave to make room."""
        data, network = step.task_data, step.model
        new = network.heads.tasks[-1]
        capacity = self.size.capacity(data.images[0].nbytes + 4)
        most = max(1, capacity // new.stop)
        rows = self.rows()
        first = of_each_class(rows["labels"], most) if rows else slice(0)
        rows = {name: stored[first] for name, stored in rows.items()}
        labels = with_values(data.labels, new)
        chosen = []
        for column in new:
            own = (labels == column).nonzero()[:, 0]
            order = herding(unit_features(network, data.images[own], step), most)
            chosen.append(own[order])
            data.release()
        entering = torch.cat(chosen)
        added = {
            "images": data.images[entering],
            "labels": labels[entering].to(torch.int16),
            "tasks": torch.full((len(entering),), self.method.task, dtype=torch.int16),
        }
        for name, entered in added.items():
            stored = torch.cat([rows[name], entered]) if rows else entered
            # A part would keep the whole in memory.
            self.method.kept[REPLAY + name] = stored[:capacity].clone() if len(stored) > capacity else stored

    @torch.no_grad()
    def means(self, step: Step) -> Tensor:
        """The mean of each class's exemplars in the space of features, of length 1: [classes so far, D].

        Features have length 1 too, before the mean is taken.
        """
        stored = self.rows()
        features = unit_features(step.model, stored["images"], step)
        counts = stored["labels"].long().bincount(minlength=step.model.heads.units).tolist()
        return normalize(torch.stack([own.sum(0) for own in features.split(counts)]))


def of_each_class(labels: Tensor, most: int) -> Tensor:
    """The first `most` rows of each class, ascending.

    Args:
        labels: [N], ascending.
    """
    counts = labels.long().bincount()
    rank = torch.arange(len(labels)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    return (rank < most).nonzero()[:, 0]


def unit_features(network: Network, images: Tensor, step: Step) -> Tensor:
    """Features of length 1 of images on the CPU, [N, D], in evaluation mode."""
    training = network.training
    network.eval()
    parts = [network.features(part.to(step.device)) for part in images.split(step.batch_size)]
    network.train(training)
    return normalize(torch.cat(parts))


def herding(features: Tensor, most: int) -> Tensor:
    """Choose samples one after the other such that the mean of the chosen ones is nearest to the mean of all.

    The k-th is argmin || mean - (f + sum of the chosen ones) / k ||, as in iCaRL's algorithm 4. No sample is chosen
    twice, and of equally near ones the first is chosen.

    Args:
        features: [N, D], of one class.
        most: how many.

    Returns:
        [min(N, most)] rows in the order of choice: int64, on the CPU. Without values, the first rows.
    """
    count = min(len(features), most)
    if features.is_meta:
        return torch.arange(count)
    features = features.cpu().double()
    mean = features.mean(0)
    # ||k mean - sum - f||^2 without what is the same for all f.
    squares, total = features.square().sum(1), torch.zeros_like(mean)
    chosen: list[int] = []
    for k in range(1, count + 1):
        distances = squares - 2 * (features @ (k * mean - total))
        distances[chosen] = float("inf")
        chosen.append(int(distances.argmin()))
        total += features[chosen[-1]]
    return torch.tensor(chosen, dtype=torch.int64)


def with_values(labels: Tensor, classes: range) -> Tensor:
    """The labels; where they have no values, classes that are as equally large as possible."""
    return torch.arange(len(labels)) % len(classes) + classes.start if labels.is_meta else labels
