"""How good an embedded backbone's features are: linear probes on the mini stream and on scikit-learn's digits.

    python scripts/probe_mini.py [SPEC]

Prints a Markdown table: for each task, the accuracy on test pictures of a logistic regression on frozen features of
the training pictures. First for a randomly initialised network with batch normalisation fitted to the training
pictures, then for the backbone of the specification: mini, mini-vit, or one of them with :weights=FILE.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from benchmark.backbones import backbone_of
from benchmark.backbones.mini.network import MEAN, STD
from benchmark.streams.mini.stream import MiniStream

#: Normalised images [N, 3, 32, 32] and labels [N].
Split = tuple[Tensor, np.ndarray]


def tasks() -> dict[str, tuple[int, Split, Split]]:
    """Name -> number of classes, training split and test split."""
    found: dict[str, tuple[int, Split, Split]] = {}
    for task in MiniStream().raw_tasks(None):
        train, test = (
            (normalised(torch.from_numpy(part.images).permute(0, 3, 1, 2).float() / 255), np.array(part.labels))
            for part in (task.train, task.test)
        )
        found[task.name] = (len(task.classes), train, test)
    data = load_digits()
    images = torch.tensor(data.images / 16, dtype=torch.float32)[:, None].expand(-1, 3, -1, -1)
    images = normalised(F.interpolate(images, size=32, mode="bilinear"))
    x, test_x, y, test_y = train_test_split(images, data.target, test_size=0.5, random_state=0, stratify=data.target)
    found["scikit-learn digits"] = (10, (x, y), (test_x, test_y))
    return found


def normalised(images: Tensor) -> Tensor:
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def random_network(name: str, images: Tensor) -> nn.Module:
    torch.manual_seed(0)
    network = backbone_of(f"{name}:weights=random").modules()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            # The running statistics become the statistics of this one batch.
            module.momentum = None
    network(images)
    return network


def probe(network: nn.Module, train: Split, test: Split) -> float:
    network.eval()
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    classifier.fit(network(train[0]).numpy(), train[1])
    return float(classifier.score(network(test[0]).numpy(), test[1]))


@torch.no_grad()
def main(text: str) -> None:
    source = backbone_of(text)
    pretrained = source.modules()
    source.load(pretrained)
    rows = [
        (name, 1 / classes, probe(random_network(source.name, train[0]), train, test), probe(pretrained, train, test))
        for name, (classes, train, test) in tasks().items()
    ]
    rows.append(("mean", *(float(np.mean(column)) for column in list(zip(*rows, strict=True))[1:])))
    print("| task | chance | random | pretrained |\n|---|---|---|---|")
    for name, *values in rows:
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "mini")
