"""The figure of docs/scenarios.md, docs/figures/scenarios.svg: `python scripts/scenarios_figure.py`.

It has its own background, so that it can be read on a light and on a dark page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "scenarios.svg"

_WIDTH, _TOP, _ROW = 850, 64, 96
# Where the columns begin: the question, the image, the task, the classes, and what that means.
_QUESTION, _IMAGE, _TASK, _CLASSES, _MEANING = 24, 258, 320, 424, 654
_CLASS, _CHIP = 48, 24

_STYLE = """
svg {
--card: #ffffff; --text: #1b1d21; --quiet: #5c6169; --rule: #c3c8ce;
--chosen: #0a5aa8; --on: #ffffff; --fur: #a8703c;
}
@media (prefers-color-scheme: dark) {
svg {
--card: #1f2226; --text: #e8eaed; --quiet: #a3a8b0; --rule: #4a515a;
--chosen: #83b9f0; --on: #15171a; --fur: #c9925c;
}
}
.card { fill: var(--card); stroke: var(--rule); }
.line { stroke: var(--rule); }
.box { fill: none; stroke: var(--rule); }
.chosen { fill: var(--chosen); stroke: var(--chosen); }
.guess { fill: none; stroke: var(--chosen); stroke-dasharray: 4 3; }
.arrow { fill: none; stroke: var(--quiet); stroke-width: 1.5; }
.fur { fill: var(--fur); }
.ear, .eye { fill: #3a2a1c; }
.off { opacity: .35; }
text { fill: var(--text); font: 13px system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
.title { font-weight: 650; font-size: 15px; }
.quiet { fill: var(--quiet); }
.code { fill: var(--quiet); font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.on { fill: var(--on); font-weight: 650; }
.middle { text-anchor: middle; }
"""


@dataclass(frozen=True)
class Row:
    """A way to answer.

    Attributes:
        question: who knows the task.
        options: how a run is asked for it.
        groups: the names of tasks, and their classes, among which one answer is chosen together.
        told: the words on the way to the classes; none if nobody needs the task.
        guessed: whether these words are a guess.
        meaning: what the answer is chosen from, in lines.
    """

    question: str
    options: str
    groups: Sequence[tuple[str, tuple[str, ...]]]
    told: tuple[str, str] | None
    guessed: bool
    meaning: tuple[str, ...]


_ANIMALS, _FLOWERS = ("animals", ("cat", "dog")), ("flowers", ("rose", "tulip"))

ROWS = (
    Row(
        "The task is told",
        "--scenario task",
        (_ANIMALS, _FLOWERS),
        ("told:", "animals"),
        False,
        ("One of 2 classes:", "those of the task."),
    ),
    Row(
        "The task is guessed",
        "--infer RULE",
        (_ANIMALS, _FLOWERS),
        ("guessed:", "animals"),
        True,
        ("First a task, then one", "of its 2 classes. A wrong", "guess is a wrong answer."),
    ),
    Row(
        "Nobody knows the task",
        "--scenario class",
        (("all tasks", (*_ANIMALS[1], *_FLOWERS[1])),),
        None,
        False,
        ("One of 4 classes at once:", "each task adds more."),
    ),
    Row(
        "The task does not matter",
        "--scenario domain",
        (("photos and drawings", _ANIMALS[1]),),
        None,
        False,
        ("One of 2 classes: all", "tasks have the same."),
    ),
)


def figure() -> str:
    """The figure as the text of an SVG file."""
    height = _TOP + _ROW * len(ROWS)
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" role="img"',
        f' viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">',
        "<title>Four ways to answer: the task is told, guessed, unknown, or does not matter</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="card" x=".5" y=".5" width="{_WIDTH - 1}" height="{height - 1}" rx="10"/>',
        _text(
            _QUESTION,
            30,
            "A network has learned the tasks animals and flowers. Now it sees an image of a dog.",
            "title",
        ),
        _text(_QUESTION, 50, "What may it answer?", "quiet"),
    ]
    for number, row in enumerate(ROWS):
        parts += _row(row, _TOP + _ROW * number)
    return "\n".join([*parts, "</svg>", ""])


def _row(row: Row, top: float) -> Iterator[str]:
    middle = top + _ROW / 2
    yield f'<path class="line" d="M{_QUESTION} {top}H{_WIDTH - _QUESTION}"/>'
    yield _text(_QUESTION, middle - 4, row.question, "title")
    yield _text(_QUESTION, middle + 16, row.options, "code")
    yield from _dog(_IMAGE, middle)
    yield _arrow(_IMAGE + 46, (_TASK if row.told else _CLASSES) - 6, middle)
    if row.told:
        kind = "guess" if row.guessed else "box"
        yield f'<rect class="{kind}" x="{_TASK}" y="{middle - 20}" width="74" height="40" rx="20"/>'
        yield _text(_TASK + 37, middle - 3, row.told[0], "quiet middle")
        yield _text(_TASK + 37, middle + 12, row.told[1], "middle")
        yield _arrow(_TASK + 74, _CLASSES - 6, middle)
    left = float(_CLASSES)
    for name, classes in row.groups:
        width = _CLASS * len(classes) + 8
        off = "" if "dog" in classes else ' class="off"'
        yield f"<g{off}>"
        yield _text(left + width / 2, middle - 24, name, "quiet middle")
        yield f'<rect class="box" x="{left}" y="{middle - 17}" width="{width}" height="{_CHIP + 10}" rx="6"/>'
        for place, label in enumerate(classes):
            yield from _class(left + 4 + _CLASS * place, middle - 12, label)
        yield "</g>"
        left += width + 6
    first = middle + 4 - 17 * (len(row.meaning) - 1) / 2
    for number, line in enumerate(row.meaning):
        yield _text(_MEANING, first + 17 * number, line)


def _class(left: float, top: float, label: str) -> Iterator[str]:
    if label == "dog":
        yield f'<rect class="chosen" x="{left}" y="{top}" width="{_CLASS}" height="{_CHIP}" rx="4"/>'
    yield _text(left + _CLASS / 2, top + 16.5, label, "middle on" if label == "dog" else "middle")


def _dog(left: float, middle: float) -> Iterator[str]:
    """An image of a dog's head, 40 pixels wide."""
    yield f'<g transform="translate({left} {middle - 20})">'
    yield '<rect class="box" width="40" height="40" rx="4"/>'
    yield '<ellipse class="fur" cx="20" cy="21" rx="11" ry="13"/>'
    yield '<ellipse class="ear" cx="9" cy="18" rx="4" ry="9"/><ellipse class="ear" cx="31" cy="18" rx="4" ry="9"/>'
    yield '<circle class="eye" cx="16" cy="18" r="1.8"/><circle class="eye" cx="24" cy="18" r="1.8"/>'
    yield '<ellipse class="eye" cx="20" cy="25" rx="3" ry="2.2"/>'
    yield "</g>"


def _arrow(start: float, end: float, y: float) -> str:
    return f'<path class="arrow" d="M{start + 2} {y}H{end}m-5 -4l5 4l-5 4"/>'


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f'<text{mark} x="{x:g}" y="{y:g}">{text}</text>'


if __name__ == "__main__":
    FIGURE.write_text(figure(), encoding="utf-8")
