"""The method that a run compares the others with: `--reference`."""

from __future__ import annotations

from collections.abc import Collection

from methods.errors import UserError
from methods.names import listed

#: Given instead of a label: every two methods are compared. It is a group's name, so no method can have it.
ALL_PAIRS = "all"


def check_reference(reference: str | None, labels: Collection[str]) -> None:
    """Check that a reference, if given, is one of the labels or ALL_PAIRS.

    Raises:
        UserError: it is neither.
    """
    if reference is not None and reference != ALL_PAIRS and reference not in labels:
        raise UserError(
            f"--reference {reference} is none of the methods here; give one of {listed(labels)}, "
            f"or {ALL_PAIRS} to compare every two"
        )
