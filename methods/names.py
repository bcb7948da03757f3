"""Which names can be shown, and how to show one that cannot."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

from methods.errors import UserError

# Control characters, line and paragraph separators, signs that change the direction of writing, halves of a character
# (Python uses them for bytes that are not UTF-8), and what XML does not allow. They change a terminal and break a CSV
# or SVG file.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")

# What makes a name unclear in a list: what separates its items, marks of quotation, space at an end.
_UNCLEAR = re.compile(r"[,;'\"]|^\s|\s$")


def printable(text: str, keep: str = "") -> str:
    r"""Text that is safe to print: a control character is written as in Python, `\x1b` for ESC.

    Args:
        keep: control characters that stay, for example a newline.
    """

    def escaped(found: re.Match[str]) -> str:
        return found[0] if found[0] in keep else found[0].encode("unicode_escape").decode()

    return _UNSHOWN.sub(escaped, text)


def listed(names: Iterable[str]) -> str:
    """Names as a list in a sentence. One that could be taken for several, or for part of the sentence, is quoted."""
    return ", ".join(_quoted(name) if _UNCLEAR.search(name) else name for name in names)


def _quoted(name: str) -> str:
    mark = '"' if "'" in name and '"' not in name else "'"
    return f"{mark}{name}{mark}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean 'WORD'? " with the closest of the known words, in whatever case; empty if none is close."""
    close = closest(word, known)
    return "" if close is None else f"did you mean {_quoted(close)}? "


def same_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that is the same; None if there is none.

    One in another Unicode form is the same: both forms of é, one character or two, look alike, and systems mix them.
    """
    names = list(known)
    if name in names:
        return name
    form = unicodedata.normalize("NFC", name)
    return next((each for each in names if unicodedata.normalize("NFC", each) == form), None)


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is closest to another one, in whatever case; None if none is close."""
    in_small = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(word.casefold(), in_small, n=1)
    return in_small[close[0]] if close else None


def method_name(label: str) -> str:
    """The name of the method in a label: `ewc` of `ewc:strength=500`, and of `ewc (epochs=16)` in a comparison."""
    return label.partition(":")[0].partition(" (")[0]


def check_name(what: str, name: object) -> None:
    """Refuse a name that no table, figure or terminal can show.

    Args:
        what: what the name belongs to, for the message: "class", "task".

    Raises:
        UserError: it is empty, not text, or has a character that cannot be shown.
    """
    if not isinstance(name, str) or not name:
        raise UserError(f"{printable(what)} is called {name!r}; a name is text, and not empty")
    found = _UNSHOWN.search(name)
    if found:
        raise UserError(
            f"{printable(what)} '{printable(name)}' has the character {printable(found[0])} in its name, which no "
            "table or terminal can show; rename it"
        )
