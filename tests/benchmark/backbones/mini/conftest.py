"""What the tests of both embedded networks share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.backbones.mini.network import MEAN, STD


@pytest.fixture
def handwriting() -> Callable[[int], tuple[Tensor, Callable[[nn.Module], float]]]:
    """handwriting(600) -> so many of scikit-learn's digits as images, and the score of a network's features on them.

    The score is the accuracy of a logistic regression that learned the first half, on the second half.
    """
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    data = load_digits()

    def make(count: int) -> tuple[Tensor, Callable[[nn.Module], float]]:
        half = count // 2
        images = torch.tensor(data.images / 16, dtype=torch.float32)[:count, None].repeat(1, 3, 1, 1)
        images = (F.interpolate(images, size=32, mode="bilinear") - MEAN[0]) / STD[0]

        def score(network: nn.Module) -> float:
            with torch.no_grad():
                features = network.eval()(images)
            features = (features - features[:half].mean(0)) / (features[:half].std(0) + 1e-6)
            model = LogisticRegression(C=0.1, max_iter=300).fit(features[:half], data.target[:half])
            return model.score(features[half:], data.target[half:count])

        return images, score

    return make
