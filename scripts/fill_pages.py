"""Fills pages, for the scripts that write tables into them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from methods.errors import UserError

ROOT = Path(__file__).parents[1]


def fill_pages(pages: Iterable[Path], filled: Callable[[str], str]) -> int:
    """Fill all pages, and print which have changed; returns the exit status.

    Args:
        filled: gives a page as it should be; raises UserError if it cannot.
    """
    for page in pages:
        before = page.read_text(encoding="utf-8")
        try:
            after = filled(before)
        except UserError as error:
            print(f"error: {page}: {error}", file=sys.stderr)
            return 2
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(page.relative_to(ROOT))
    return 0
