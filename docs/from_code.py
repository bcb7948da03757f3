"""A Sphinx extension: what the documentation says of methods is made from their code, when it is built.

The directive `{methods}` becomes a section for each method, with what `python -m benchmark methods NAME` prints, but
for what depends on the length of the stream. The directive `{scenarios}` becomes a table of who answers where, and
`{networks}` one of the kinds of networks that methods work on. `{deviations}` becomes a table of what differs from the
papers: the sections "Differs from the paper:" of the methods' docstrings. `{protocols}` becomes one of what `reproduce`
can run.
Docstrings are plain text: what Markdown or reStructuredText would take for markup is escaped.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterable, Sequence
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from benchmark.checks.docstring import DIFFERENCES, Docstring, read_docstring
from benchmark.checks.tiny import TinyBackbone, TinyTransformer, tiny_network
from benchmark.config import Settings
from benchmark.planning.describe import Description, Option, describe, shown_on
from benchmark.planning.estimate import StreamShape
from benchmark.planning.usable import refusal
from benchmark.protocols import find_protocol, protocol_names
from benchmark.protocols.protocol import Protocol
from benchmark.report.table import bytes_text
from benchmark.results.columns import TIMES
from methods import methods
from methods.configured import configure
from methods.scenarios import Scenario

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

# How a docstring's first paragraph names papers: by their numbers, or, without any, by a year in parentheses.
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")
_NAMED = re.compile(r"\(([^()]*\b(?:19|20)\d\d[^()]*)\)")


class Scenarios(SphinxDirective):
    """`{scenarios}`: a table of methods and the scenarios in which they have an answer of their own."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(scenario_table())


def scenario_table() -> str:
    """The methods with an answer of their own where the task is not known, and the others in one row, in Markdown."""
    scenarios = typing.get_args(Scenario)
    known = {name: configure(name).cls.scenarios for name in described()}
    several = [name for name, own in known.items() if own != ("task",)]
    rows = [(f"`{name}`", *(_answers(scenario, known[name]) for scenario in scenarios)) for name in several]
    others = ", ".join(f"`{name}`" for name in known if name not in several)
    return _table(("method", *scenarios), [*rows, (others, *(_answers(each, ("task",)) for each in scenarios))])


def _answers(scenario: Scenario, own: tuple[Scenario, ...]) -> str:
    """How a method answers in a scenario, if it has an answer of its own in these."""
    return "yes" if scenario in own else "after a rule has guessed the task" if "task" in own else ""


class Protocols(SphinxDirective):
    """`{protocols}`: a table of the protocols that `reproduce` runs."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(protocol_table())


def protocol_table() -> str:
    """The shipped protocols, from their files, in Markdown."""
    protocols = [find_protocol(name) for name in protocol_names()]
    headers = ("protocol", "what", "source", "parts", "rows", "numbers", "data")
    return _table(headers, [_protocol_row(protocol) for protocol in protocols])


def _protocol_row(protocol: Protocol) -> tuple[str, ...]:
    needs = dict.fromkeys(part.data.needs for part in protocol.parts if part.data)
    return (
        f"`{protocol.name}`",
        escape(protocol.title),
        escape(protocol.source),
        ", ".join(part.name for part in protocol.parts),
        ", ".join(f"`{row}`" for row in protocol.rows),
        str(sum(len(part.targets) for part in protocol.parts)),
        escape("; ".join(needs) or "none"),
    )


class Networks(SphinxDirective):
    """`{networks}`: a table of methods and the kinds of networks that they work on."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(network_table())


def network_table() -> str:
    """The methods that refuse a kind of network, as a small one shows, and the others in one row, in Markdown."""
    kinds = {"convolutional networks": TinyBackbone, "vision transformers": TinyTransformer}
    tiny = [tiny_network(kind).to("meta") for kind in kinds.values()]
    known = {name: [refusal(network, configure(name)) is None for network in tiny] for name in described()}
    choosy = [name for name, works in known.items() if not all(works)]
    rows = [(f"`{name}`", *("yes" if works else "" for works in known[name])) for name in choosy]
    others = ", ".join(f"`{name}`" for name in known if name not in choosy)
    return _table(("method", *kinds), [(others, *["yes"] * len(kinds)), *rows])


class Deviations(SphinxDirective):
    """`{deviations}`: a table of methods, their papers, and what differs from these."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(deviation_table())


def deviation_table() -> str:
    """A row for each item under "Differs from the paper:" in the docstring of a method, in Markdown."""
    found = {name: read_docstring(inspect.getdoc(configure(name).cls) or "") for name in described()}
    rows = [
        (f"`{name}`", papers(docstring), escape(f"{topic}: {said}"))
        for name, docstring in found.items()
        for topic, said in docstring.differences
    ]
    return _table(("method", "paper", "what differs"), rows)


def papers(docstring: Docstring) -> str:
    """The papers that a docstring's first paragraph names, in Markdown: links to arXiv, or authors and year."""
    first = " ".join(docstring.paragraphs[:1])
    links = [f"[{number}](https://arxiv.org/abs/{number})" for number in _ARXIV.findall(first)]
    return ", ".join(links or map(escape, _NAMED.findall(first)))


def described() -> list[str]:
    """The methods that need nothing but their name; `avalanche` needs that of a plugin."""
    return [name for name in methods.names() if name != "avalanche"]


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


def escape(text: str) -> str:
    """Plain text in which `name` is code -> Markdown."""
    # What stands between backticks is at the odd places.
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\*_\[\]<>#|$~])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


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
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body))


def escape_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Let autodoc take * and _ for what they are in plain text: products and subscripts."""
    lines[:] = [re.sub(r"(\*|_(?=\W|$)|\|)", r"\\\1", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("methods", Methods)
    app.add_directive("scenarios", Scenarios)
    app.add_directive("networks", Networks)
    app.add_directive("deviations", Deviations)
    app.add_directive("protocols", Protocols)
    # Before Napoleon, at 500, turns sections into markup.
    app.connect("autodoc-process-docstring", escape_docstring, priority=400)
    return {"parallel_read_safe": True}
