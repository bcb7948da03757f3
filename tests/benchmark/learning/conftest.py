"""What tests of learning share."""

from __future__ import annotations

import pytest
from torch import Tensor

from methods import Network


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each pass through the backbone takes."""
    counts: list[int] = []
    features = Network.features

    def counted(self: Network, images: Tensor) -> Tensor:
        counts.append(len(images))
        return features(self, images)

    monkeypatch.setattr(Network, "features", counted)
    return counts
