"""Fonts of the figures: names come in any writing, and the font that Matplotlib brings does not have all of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from benchmark.report.style import RC
from methods.names import printable


@contextmanager
def drawing(texts: Iterable[str]) -> Iterator[None]:
    """Matplotlib's settings for figures with these texts.

    Characters that the usual font lacks are drawn with fonts of this machine. If no font has them, a warning says so.

    Args:
        texts: names of methods and tasks.
    """
    usual = _characters(_usual())
    # In the order of the texts.
    found = dict.fromkeys(ord(character) for text in texts for character in printable(text))
    missing = {number for number in found if number not in usual}
    families = _families(missing)
    settings = {**RC, "font.family": [*RC["font.sans-serif"], *families]} if families else RC
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
        yield
    if missing:
        shown = "".join(chr(number) for number in [*filter(missing.__contains__, found)][:10])
        warnings.warn(
            f"no font of this machine has the characters {shown}, so that the .png figures show boxes in their place; "
            "install one that has them, as Noto Sans CJK, and run report again. The .svg figures and the page use the "
            "reader's fonts",
            stacklevel=3,
        )


def _families(missing: set[int]) -> list[str]:
    """The families of fonts that have these characters, those first that have most; what is found is taken out."""
    families: list[str] = []
    known = {path: _characters(path) for path in _machine_fonts()} if missing else {}
    while missing and known:
        path = max(known, key=lambda path: len(missing & known[path]))
        found = missing & known.pop(path)
        if not found:
            break
        missing -= found
        # Matplotlib's own list may be older than the font.
        font_manager.fontManager.addfont(path)
        families.append(FT2Font(path).family_name)
    return families


def _usual() -> str:
    (family,) = RC["font.sans-serif"]
    return str(font_manager.findfont(family))


def _machine_fonts() -> list[str]:
    """The files of the fonts that can be drawn in any size."""
    return [path for path in sorted(font_manager.findSystemFonts()) if _scalable(path)]


def _scalable(path: str) -> bool:
    try:
        return bool(FT2Font(path).scalable)
    except (OSError, RuntimeError):
        return False


def _characters(path: str) -> set[int]:
    """The code points that a font has."""
    return set(FT2Font(path).get_charmap())
