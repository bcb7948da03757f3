"""The tables of results/README.md and docs/ that are made from the code: `python scripts/code_tables.py`.

A table stands between two comments, and everything between them is replaced. The first comment names the table, as
`<!-- TABLE, by scripts/code_tables.py -->`, and the last one is `<!-- end of the columns -->` or of anything else.

| TABLE | is |
|---|---|
| `columns of NAME.csv` | the columns of a CSV file, from benchmark/results/columns.py |
| `scenarios` | who answers in which scenario |
| `networks` | the kinds of networks that methods work on |
| `deviations` | what differs from the papers: the sections "Differs from the paper:" of the methods' docstrings |
| `protocols` | what `reproduce` can run, from benchmark/protocols/ |
| `options of run` | the options of `run`, from benchmark/config.py |
| `glossary` | the words of benchmark/report/glossary.py |
| `rooms` | the floors of scripts/house.py, with the first paragraphs of the rooms' docstrings |

Docstrings are plain text: what Markdown would take for markup is escaped. docs_tables.py writes tables of runs.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmark.checks.docstring import Docstring, read_docstring
from benchmark.checks.tiny import TinyBackbone, TinyTransformer, tiny_network
from benchmark.cli.run import COMMAND as RUN
from benchmark.declaration import Option
from benchmark.planning.usable import refusal
from benchmark.protocols import find_protocol, protocol_names
from benchmark.protocols.protocol import Protocol
from benchmark.report.glossary import GLOSSARY
from benchmark.results.columns import Column, columns_of
from fill_pages import ROOT, fill_pages
from house import FLOORS
from methods import methods
from methods.configured import configure
from methods.errors import UserError
from methods.scenarios import Scenario

README = ROOT / "results" / "README.md"

_BY = ", by scripts/code_tables.py -->"
_TABLE = re.compile(rf"<!-- (?P<name>[^<>\n]+){re.escape(_BY)}\n.*?(?P<end><!-- end of the [a-z ]+ -->)", re.DOTALL)

# How a docstring's first paragraph names papers: by their numbers, or, without any, by a year in parentheses.
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")
_NAMED = re.compile(r"\(([^()]*\b(?:19|20)\d\d[^()]*)\)")


def pages() -> list[Path]:
    """The pages that may have tables made from the code."""
    return [README, *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts)]


def filled(text: str) -> str:
    """A page with all its tables up to date.

    Raises:
        UserError: a comment names a table that there is not, or has no end.
    """
    if len(_TABLE.findall(text)) != text.count(_BY):
        raise UserError(f"a comment that ends with `{_BY}` has another form, or no end, as code_tables.py has it")
    return _TABLE.sub(lambda found: f"<!-- {found['name']}{_BY}\n{made(found['name'])}\n{found['end']}", text)


def made(name: str) -> str:
    """A table by its name, in Markdown.

    Raises:
        UserError: there is none.
    """
    if csv := re.fullmatch(r"columns of ([a-z]+)\.csv", name):
        return column_table(csv[1])
    if name not in TABLES:
        raise UserError(f"there is no table '{name}'; there are columns of NAME.csv, {', '.join(TABLES)}")
    return TABLES[name]()


def column_table(csv: str) -> str:
    """The columns of a CSV file."""
    return markdown_table(("column", "meaning", "better"), [_column(each, csv) for each in columns_of(csv)])


def _column(column: Column, csv: str) -> tuple[str, str, str]:
    name = f"`{column.name}`, `..._ci95`" if column.interval else f"`{column.name}`"
    # Columns taken from another file are explained there.
    meaning = column.meaning if column.csv[0] in (csv, "summary") else f"as in `{column.csv[0]}.csv`"
    return name, meaning, column.better or ""


def scenario_table() -> str:
    """The methods with an answer of their own where the task is not known, and the others in one row."""
    scenarios = typing.get_args(Scenario)
    known = {name: configure(name).cls.scenarios for name in described()}
    several = [name for name, own in known.items() if own != ("task",)]
    rows = [(f"`{name}`", *(_answers(scenario, known[name]) for scenario in scenarios)) for name in several]
    others = ", ".join(f"`{name}`" for name in known if name not in several)
    return markdown_table(("method", *scenarios), [*rows, (others, *(_answers(each, ("task",)) for each in scenarios))])


def _answers(scenario: Scenario, own: tuple[Scenario, ...]) -> str:
    """How a method answers in a scenario, if it has an answer of its own in these."""
    return "yes" if scenario in own else "after a rule has guessed the task" if "task" in own else ""


def protocol_table() -> str:
    """The shipped protocols, from their files."""
    protocols = [find_protocol(name) for name in protocol_names()]
    headers = ("protocol", "what", "source", "parts", "rows", "numbers", "data")
    return markdown_table(headers, [_protocol_row(protocol) for protocol in protocols])


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


def network_table() -> str:
    """The methods that refuse a kind of network, as a small one shows, and the others in one row."""
    kinds = {"convolutional networks": TinyBackbone, "vision transformers": TinyTransformer}
    tiny = [tiny_network(kind).to("meta") for kind in kinds.values()]
    known = {name: [refusal(network, configure(name)) is None for network in tiny] for name in described()}
    choosy = [name for name, works in known.items() if not all(works)]
    rows = [(f"`{name}`", *("yes" if works else "" for works in known[name])) for name in choosy]
    others = ", ".join(f"`{name}`" for name in known if name not in choosy)
    return markdown_table(("method", *kinds), [(others, *["yes"] * len(kinds)), *rows])


def deviation_table() -> str:
    """A row for each item under "Differs from the paper:" in the docstring of a method."""
    found = {name: read_docstring(inspect.getdoc(configure(name).cls) or "") for name in described()}
    rows = [
        (f"`{name}`", papers(docstring), escape(f"{topic}: {said}"))
        for name, docstring in found.items()
        for topic, said in docstring.differences
    ]
    return markdown_table(("method", "paper", "what differs"), rows)


def papers(docstring: Docstring) -> str:
    """The papers that a docstring's first paragraph names, in Markdown: links to arXiv, or authors and year."""
    first = " ".join(docstring.paragraphs[:1])
    links = [f"[{number}](https://arxiv.org/abs/{number})" for number in _ARXIV.findall(first)]
    return ", ".join(links or map(escape, _NAMED.findall(first)))


def option_tables() -> str:
    """The options of `run`, a table for each group of its help. What is linked is below docs/."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    for option in RUN.options:
        groups.setdefault(option.group or "what is learned, and where results go", []).append(_option_row(option))
    headers = ("option", "default", "meaning")
    return "\n\n".join(f"**{group}**\n\n{markdown_table(headers, rows)}" for group, rows in groups.items())


def _option_row(option: Option) -> tuple[str, str, str]:
    value = "" if option.kind is bool else "|".join(option.choices) or option.metavar or option.name.upper()
    has_default = option.default not in (None, False, ())
    default = "required" if option.required else f"`{option.default}`" if has_default and not option.several else ""
    meaning = re.sub(r"docs/([a-z]+\.md)", r"[\1](\1)", escape(option.help))
    return f"`{' '.join(filter(None, (option.flag, value)))}`".replace("|", "\\|"), default, meaning


def glossary_table() -> str:
    """The words that a newcomer may not know, in the order of the alphabet."""
    rows = [(escape(term), escape(GLOSSARY[term])) for term in sorted(GLOSSARY, key=str.casefold)]
    return markdown_table(("word", "means"), rows)


def room_table() -> str:
    """The rooms, floor by floor."""
    rows = [(str(floor), *_room(room)) for floor, rooms in enumerate(FLOORS) for room in rooms]
    return markdown_table(("floor", "room", "what it is"), rows)


def _room(name: str) -> tuple[str, str]:
    path = ROOT.joinpath(*name.split("."))
    folder = path.is_dir()
    file = path / "__init__.py" if folder else path.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    shown = f"{path.relative_to(ROOT).as_posix()}/" if folder else file.relative_to(ROOT).as_posix()
    return f"`{shown}`", escape(" ".join(docstring.partition("\n\n")[0].split()))


def described() -> list[str]:
    """The methods that need nothing but their name; `avalanche` needs that of a plugin."""
    return [name for name in methods.names() if name != "avalanche"]


def escape(text: str) -> str:
    """Plain text in which `name` is code -> Markdown."""
    # What stands between backticks is at the odd places.
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\*_\[\]<>#|$~])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headers, ["---"] * len(headers), *rows))


TABLES: dict[str, Callable[[], str]] = {
    "scenarios": scenario_table,
    "networks": network_table,
    "deviations": deviation_table,
    "protocols": protocol_table,
    "options of run": option_tables,
    "glossary": glossary_table,
    "rooms": room_table,
}


def main() -> int:
    """Fill all pages, and print which have changed; returns the exit status."""
    return fill_pages(pages(), filled)


if __name__ == "__main__":
    sys.exit(main())
