"""A Sphinx extension: what the built site makes from the code, or shows in another way than the files.

The directive `{methods}` becomes a section for each method, with what `python -m benchmark methods NAME` prints, but
for what depends on the length of the stream. Tables made from the code are in the files themselves: see
scripts/code_tables.py. Docstrings are plain text: what Markdown or reStructuredText would take for markup is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from benchmark.checks.docstring import DIFFERENCES, Docstring, read_docstring
from benchmark.config import Settings
from benchmark.planning.describe import Description, Option, describe, shown_on
from benchmark.planning.estimate import StreamShape
from benchmark.report.table import bytes_text
from benchmark.results.columns import TIMES
from code_tables import described, escape, markdown_table
from methods.configured import configure

#: The stream that is gone through without data: two tasks, to see what the second adds, as large as those of `mini`.
SHAPE = StreamShape(tasks=2, classes=10, images=540, image_size=32)

#: What holds of a class where its attribute is set.
_TRAITS = {
    "isolates_tasks": "Forgets nothing where the task is known: what a task answers stays as it is, bit for bit.",
    "shared_head": "One head for all tasks.",
    "trains_old_heads": "A new task trains the heads of earlier tasks too.",
    "continues": "What belongs to a task starts where the task before left it.",
    "starts_over": "Each task is learned from the backbone as given.",
}
_NO_STEPS = "It makes no gradient steps, so that it has no epochs and no training options."

_PARTS = {"frozen": "frozen, not stored", "shared": "shared", "task": "per task", "memory": "memory"}

# Columns of the tables of costs that are shown.
_COSTS = (
    "Extra parameters per task",
    "Extra (% of the backbone)",
    "Inference per image",
    f"Inference ({TIMES} backbone)",
)

# Patterns of tensors' names that are shown of a part.
_SHOWN = 4


class Methods(SphinxDirective):
    """`{methods}`: a section for each method that needs nothing but its name."""

    def run(self) -> list[nodes.Node]:
        text = "\n\n".join(section(name) for name in described())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def section(name: str) -> str:
    """A method's section, in Markdown."""
    found = _describe(name)
    docstring = read_docstring(found.documentation)
    cls = configure(name).cls
    traits = [sentence for attribute, sentence in _TRAITS.items() if getattr(cls, attribute)]
    blocks = [
        f"## {name}",
        *map(escape, docstring.paragraphs),
        " ".join([*traits, f"Scenarios: {', '.join(found.scenarios)}."]),
        _options(found.options, dict(docstring.options)),
        _differences(docstring),
        _training(found.recipe) if cls.learns_in_steps else _NO_STEPS,
        _state(found),
        _costs(found),
    ]
    return "\n\n".join(block for block in blocks if block)


def _describe(name: str) -> Description:
    """A method's description on the default backbone, or on a transformer if it needs one."""
    return describe(Settings(methods=(name,), backbone=shown_on(name), epochs=1), SHAPE)


def _options(options: Iterable[Option], meanings: dict[str, str]) -> str:
    rows = [
        (f"`{option.name}`", option.values, f"`{option.default}`", escape(meanings.get(option.name, "")), option.tried)
        for option in options
    ]
    return _table(("option", "values", "default", "meaning", "tune tries"), rows) if rows else ""


def _differences(docstring: Docstring) -> str:
    items = [f"- {escape(f'{topic}: {said}')}" for topic, said in docstring.differences]
    return "\n".join([DIFFERENCES, "", *items]) if items else ""


def _training(recipe: Iterable[Option]) -> str:
    """The options that all methods have, in a sentence."""
    chosen = ", ".join(f"`{option.name}={option.default}`" for option in recipe)
    tried = "; ".join(f"`{option.name}` {option.tried}" for option in recipe if option.tried)
    return f"Trained with {chosen}." + (f" `tune` tries {tried}." if tried else "")


def _state(found: Description) -> str:
    rows = [
        (_PARTS[part.name], f"{part.values:,}", bytes_text(part.bytes), _names(part.patterns))
        for part in found.parts
        if part.tensors
    ]
    return _table(("after one task", "values", "size", "tensors"), rows)


def _names(patterns: Sequence[str]) -> str:
    return ", ".join([*(f"`{pattern}`" for pattern in patterns[:_SHOWN]), *["..."] * (len(patterns) > _SHOWN)])


def _costs(found: Description) -> str:
    cells = {
        header: cell.text
        for table in (found.storage, found.compute)
        for header, cell in zip(table.headers, table.rows[0], strict=True)
    }
    return _table(_COSTS, [[cells[header] for header in _COSTS]])


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, without columns that are empty throughout."""
    columns = [column for column in zip(headers, *rows, strict=True) if any(column[1:])]
    head, *body = zip(*columns, strict=True)
    return markdown_table(head, body)


def escape_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Let autodoc take * and _ for what they are in plain text: products and subscripts."""
    lines[:] = [re.sub(r"(\*|_(?=\W|$)|\|)", r"\\\1", line) for line in lines]


def link_within_the_site(app: Sphinx, page: str, source: list[str]) -> None:
    """Fit a page's links to Markdown outside of docs/ to the site, where there are no such pages.

    Those to results/README.md lead to the page that includes it; of others the text stays.
    """
    outside = "../" * (page.count("/") + 1)
    text = source[0]
    if page != "definitions":
        text = text.replace(f"]({outside}results/README.md", f"]({outside.removeprefix('../')}definitions.md")
    source[0] = re.sub(rf"\[([^]\n]+)\]\({re.escape(outside)}[^)\s]+\.md(?:#[^)\s]*)?\)", r"\1", text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("methods", Methods)
    app.connect("source-read", link_within_the_site)
    # Before Napoleon, at 500, turns sections into markup.
    app.connect("autodoc-process-docstring", escape_docstring, priority=400)
    return {"parallel_read_safe": True}
