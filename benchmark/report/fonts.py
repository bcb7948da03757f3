"""Fonts of the figures: names come in any writing, and the font that Matplotlib brings does not have all of them."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from benchmark.report.style import RC
from methods.errors import Notice
from methods.names import printable

# How the names of the characters of Chinese, Japanese and Korean begin.
_CJK = ("CJK ", "HIRAGANA ", "KATAKANA ", "HANGUL ", "BOPOMOFO ", "IDEOGRAPHIC ", "FULLWIDTH ", "HALFWIDTH ")


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
        lacking = [chr(number) for number in found if number in missing]
        warnings.warn(
            f"no font of this machine has the characters {''.join(lacking[:10])}, so that the .png figures show boxes "
            f"in their place; install {_fonts_for(lacking)} and run report again. The .svg figures and the page use "
            "the reader's fonts",
            Notice,
            stacklevel=3,
        )


def _fonts_for(characters: Iterable[str]) -> str:
    """Fonts that have these characters, as words of a sentence."""
    fonts = dict.fromkeys(map(_font_for, characters))
    named = [font for font in fonts if font]
    others = [f"a font that has {'the others' if named else 'them'}"] if None in fonts else []
    return " and ".join(named + others)


def _font_for(character: str) -> str | None:
    """A free font for the writing of a character; None if it is none of these."""
    name = unicodedata.name(character, "")
    if name.startswith(_CJK):
        return "Noto Sans CJK"
    # Pictures, from mahjong tiles to the newest ones, and their colours of skin.
    return "Noto Emoji" if 0x1F000 <= ord(character) < 0x1FC00 else None


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
