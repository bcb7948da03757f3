"""Text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

# What a terminal obeys, XML does not allow or no file can hold: control characters, those that change the direction of
# what follows, and code points that are no characters.
_UNREADABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def printable(text: str, keep: str = "") -> str:
    r"""Text that does nothing but be read: control characters become escapes, as \x1b.

    Names have none today; what older versions wrote may have.

    Args:
        keep: control characters that stay, as a newline between lines.
    """

    def escaped(match: re.Match[str]) -> str:
        character = match[0]
        code = ord(character)
        return character if character in keep else f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"

    return _UNREADABLE.sub(escaped, text)


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell.

    Args:
        rows: all of the same length.
        right: numbers of the columns that stand at the right, from 0.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def counted(number: int, noun: str) -> str:
    """So many of something: "1 seed", "5 seeds"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
