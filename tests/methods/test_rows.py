"""Rows of tensors, for a device: which stay on a GPU, and what a step sends there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from methods import rows as module
from methods.rows import Rows, fits

GPU, CPU = torch.device("cuda"), torch.device("cpu")


def pretend(monkeypatch: pytest.MonkeyPatch, free: int, total: int, share: float, allocated: int) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, total))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: share)


@pytest.mark.parametrize(
    ("free", "share", "allocated", "limit"),
    [
        # A quarter of what is free on a GPU of 1000 bytes.
        (800, 1.0, 0, 200),
        # A share of a quarter leaves 250 bytes, of which 50 are taken.
        (800, 0.25, 0, 62.5),
        (800, 0.25, 50, 50),
        # Other processes have taken more than this one's share leaves.
        (40, 0.5, 100, 10),
        # Nothing is left.
        (800, 0.25, 250, 0),
        (800, 0.25, 260, -2.5),
    ],
)
def test_a_quarter_of_what_this_process_may_still_take(
    free: int, share: float, allocated: int, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, free, 1000, share, allocated)
    for nbytes in (0, 1, 9, 10, 49, 50, 62, 63, 199, 200, 201):
        assert fits(nbytes, GPU) == (nbytes < limit)


def test_nothing_is_moved_on_a_cpu() -> None:
    assert not fits(1, CPU)
    assert not fits(1, torch.device("meta"))


def table(count: int) -> dict[str, Tensor]:
    numbers = torch.arange(count, dtype=torch.int16)
    return {"images": numbers.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).contiguous(), "labels": numbers}


def test_the_chosen_rows_in_the_chosen_order() -> None:
    given = table(6)
    taken = Rows(given, CPU).take(torch.tensor([4, 0, 4]))
    assert taken["labels"].tolist() == [4, 0, 4]
    assert taken["images"][:, 0, 0, 0].tolist() == [4, 0, 4]
    assert (taken["images"].dtype, taken["labels"].dtype) == (torch.uint8, torch.int16)
    assert all(torch.equal(tensor, table(6)[name]) for name, tensor in given.items())


@pytest.mark.parametrize("small", [True, False])
def test_large_tensors_stay_where_they_are_and_small_ones_are_sent_once(
    small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device "meta" stands for a GPU: it shows what arrives there."""
    device = torch.device("meta")
    monkeypatch.setattr(module, "fits", lambda nbytes, device: small)
    moved: list[tuple[str, int]] = []
    to = Tensor.to

    def note(tensor: Tensor, *args: object, **kwargs: object) -> Tensor:
        result = to(tensor, *args, **kwargs)
        if result.is_meta and not tensor.is_meta:
            moved.append((str(tensor.dtype).removeprefix("torch."), tensor.numel()))
        return result

    monkeypatch.setattr(Tensor, "to", note)
    rows = Rows(table(100), device)
    chosen = torch.tensor([5, 7])
    for _ in range(2):
        taken = rows.take(chosen)
        assert {name: (list(rows.shape), rows.is_meta) for name, rows in taken.items()} == {
            "images": ([2, 3, 2, 2], True),
            "labels": ([2], True),
        }
    once, each = [("uint8", 1200), ("int16", 100)], [("uint8", 24), ("int16", 2)]
    assert moved == (once + [("int64", 2)] * 2 if small else each * 2)
