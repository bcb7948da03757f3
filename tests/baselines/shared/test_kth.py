"""The k-th smallest value against torch's own, on the CPU's way and on the GPU's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from baselines.shared.kth import kth_smallest

RANDOM = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("way", ["cpu", "gpu"])
@pytest.mark.parametrize(
    "values",
    [
        torch.randn(5, 7, 3, generator=RANDOM, dtype=torch.float64),
        torch.randn(101, generator=RANDOM),
        torch.randint(-3, 3, (40,), generator=RANDOM).float(),
        torch.tensor([2.0]),
        torch.randn(6, 8, generator=RANDOM).t(),
    ],
    ids=["double", "single", "equal values", "one value", "transposed"],
)
def test_it_is_kthvalue(values: Tensor, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A graph that is compiled goes the GPU's way.
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: way == "gpu")
    before, live = values.clone(), values.clone().requires_grad_()
    for k in sorted({1, 2, (values.numel() + 1) // 2, values.numel()} & set(range(1, values.numel() + 1))):
        found = kth_smallest(live, k)
        assert found.shape == ()
        assert found.dtype == values.dtype
        assert torch.equal(found, values.flatten().kthvalue(k).values)
    assert torch.equal(live, before)


def test_tensors_without_values() -> None:
    assert kth_smallest(torch.empty(4, 3, device="meta"), 5).shape == ()
