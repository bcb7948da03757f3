"""Labels side by side in a figure: shortened ones keep what tells them apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from benchmark.report.layout import LABEL_SIZE, shorten, text_inches
from methods.names import printable

# A word or a number, or one other character, as of a writing without spaces.
_TOKEN = re.compile(r"[0-9A-Za-z]+(?:\.[0-9A-Za-z]+)*|.", re.DOTALL)


def shorten_all(texts: Sequence[str], inches: float, size: float = LABEL_SIZE) -> list[str]:
    """Each text if it fits, else the parts of it that tell it from the others: no two texts become the same.

    Of `ewc:strength=100:samples=20` and `ewc:strength=500:samples=20` the strengths stay. Where what differs does not
    fit, a text keeps its beginning and its end; where texts are the same then, they get numbers.

    Args:
        texts: all that a reader has to tell apart.
        inches: the width that each of them may have.
        size: of the font, in points.
    """
    kinds = list(dict.fromkeys(map(printable, texts)))
    shown = {text: _shortened(text, kinds, inches, size) for text in kinds}
    often = Counter(shown.values())
    alike = [text for text in kinds if often[shown[text]] > 1]
    for number, text in enumerate(alike, 1):
        mark = f" ({number})"
        shown[text] = shorten(text, inches - text_inches(mark, size), size) + mark
    return [shown[printable(text)] for text in texts]


def _shortened(text: str, others: Sequence[str], inches: float, size: float) -> str:
    if text_inches(text, size) <= inches:
        return text

    def fits(places: set[int]) -> bool:
        return text_inches(_written(tokens, places), size) <= inches

    tokens = _TOKEN.findall(text)
    kept: set[int] = set()
    # The nearest relatives first: what tells a text from them tells it from most others too.
    differing = [_differences(tokens, other) for other in others if other != text]
    for spans in sorted(differing, key=lambda spans: sum(map(len, spans))):
        if any(kept.issuperset(span) for span in spans):
            continue
        kept |= next((own for span in sorted(spans, key=len) if fits(own := {*kept, *span})), set())
    if not kept:
        return shorten(text, inches, size)
    for group in _beside(tokens, sorted(kept)):
        if fits(kept | group):
            kept |= group
    for place in range(len(tokens)):
        if not fits(kept | {place}):
            break
        kept.add(place)
    return _written(tokens, kept)


def _differences(tokens: Sequence[str], other: str) -> list[range]:
    """The spans of tokens that `other` has not, or not there."""
    changes = SequenceMatcher(None, tokens, _TOKEN.findall(other), autojunk=False).get_opcodes()
    return [range(first, last) for change, first, last, _, _ in changes if change != "equal" and first < last]


def _beside(tokens: Sequence[str], kept: Sequence[int]) -> Iterator[set[int]]:
    """What is kept beside the tokens that tell a text apart: its first token, and the names of their options."""
    yield {0}
    for place in kept:
        before = [k for k in range(place) if tokens[k] == ":"]
        if before:
            yield set(range(before[-1], place))


def _written(tokens: Sequence[str], kept: set[int]) -> str:
    """The kept tokens, with a mark where others were."""
    text = "".join(token if place in kept else "…" for place, token in enumerate(tokens))
    return re.sub("…+", "…", text)
