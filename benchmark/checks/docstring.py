"""The form of a docstring: paragraphs, and the sections "Args:" and "Differs from the paper:"."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass

ARGUMENTS = "Args:"
DIFFERENCES = "Differs from the paper:"

# How an item begins: names of options, or a topic.
_OPTIONS = re.compile(r"(\w+(?:, \w+)*):(?: |$)")
_TOPIC = re.compile(r"([^\s:][^:]*):(?: |$)")


@dataclass(frozen=True)
class Docstring:
    """What a docstring says, without line breaks.

    Attributes:
        paragraphs: the text outside of both sections.
        options: each option of "Args:", and what it says of it; "a, b: ..." says it of both.
        differences: each topic of "Differs from the paper:", and what it says of it.
        stray: lines of that section that are not part of an item, and items that say nothing.
    """

    paragraphs: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    differences: tuple[tuple[str, str], ...]
    stray: tuple[str, ...]


def read_docstring(text: str) -> Docstring:
    """Read a docstring, with or without the indentation that it has in its class."""
    lines: dict[str, list[str]] = {"": [], ARGUMENTS: [], DIFFERENCES: []}
    section = ""
    for line in map(str.rstrip, inspect.cleandoc(text).splitlines()):
        if line in (ARGUMENTS, DIFFERENCES):
            section = line
            continue
        if section and line and not line.startswith(" "):
            # A section is indented, so it ends here.
            section = ""
            lines[section].append("")
        lines[section].append(line)
    options, _ = _items(lines[ARGUMENTS], _OPTIONS)
    differences, stray = _items(lines[DIFFERENCES], _TOPIC)
    paragraphs = "\n".join(lines[""]).strip().split("\n\n")
    return Docstring(
        tuple(" ".join(words) for paragraph in paragraphs if (words := paragraph.split())),
        tuple((name, said) for names, said in options for name in names.split(", ")),
        tuple((topic, said) for topic, said in differences if said),
        (*stray, *(f"{topic}:" for topic, said in differences if not said)),
    )


def _items(lines: Iterable[str], start: re.Pattern[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The items of a section, each its beginning and its text, and the lines that belong to none."""
    found: list[tuple[str, list[str]]] = []
    stray = []
    for line in filter(str.strip, lines):
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        begins = start.match(text) if indent == 4 else None
        if begins:
            found.append((begins[1], [text[begins.end() :]]))
        elif indent > 4 and found:
            found[-1][1].append(text)
        else:
            stray.append(text)
    return [(name, " ".join(filter(None, said))) for name, said in found], stray
