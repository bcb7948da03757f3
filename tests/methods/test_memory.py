"""The size of a replay memory as a user writes it."""

from __future__ import annotations

import pytest

from methods.memory import MemorySize


@pytest.mark.parametrize(
    ("text", "capacity"),
    [("500", 500), ("10MB", 10_000_000 // 150_532), ("1kB", 1), ("1GB", 1_000_000_000 // 150_532)],
)
def test_size_in_images_or_bytes(text: str, capacity: int) -> None:
    """An image of 224x224 takes 150,528 bytes of pixels and 4 of label and task."""
    assert MemorySize.parse(text).capacity(150_532) == capacity


@pytest.mark.parametrize("text", ["0", "-3", "10XB", "many", "", "1.5MB"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="500"):
        MemorySize.parse(text)
