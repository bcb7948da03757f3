"""report.html: a run on one page that opens from disk, without a network.

Tables are in the page itself and can be read without a script. If scripts may run, template/*.js sorts them and draws
the charts from data in the page; otherwise the figures are shown as images.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmark.files import write_atomically
from benchmark.report.answers_data import answers_data
from benchmark.report.diagram import NAME as DIAGRAM
from benchmark.report.diagram import explanation
from benchmark.report.figures import FIRST_TASK_DROP
from benchmark.report.glossary import GLOSSARY
from benchmark.report.guesses_data import guesses_data
from benchmark.report.oracle_gap import NAME as ORACLE_GAP
from benchmark.report.oracle_gap import TITLE as ORACLE_TITLE
from benchmark.report.oracle_gap import has_gaps
from benchmark.report.page_data import page_data
from benchmark.report.recipes import recipes_display
from benchmark.report.reproduction import reproduction_display
from benchmark.report.table import EMPTY, Table, TableCell
from benchmark.report.tables import display_tables, rank_display
from benchmark.results.blocks import repetitions_text
from benchmark.results.paired_tests import Statistics
from benchmark.results.questions import scenario_suffix
from benchmark.results.repeated import FEWEST_BLOCKS
from benchmark.results.run import Results
from benchmark.storage.manifest import SUCCEEDED, Manifest
from benchmark.storage.processes import Process, differences, learning_processes
from methods import methods
from methods.errors import UserError
from methods.names import method_name, printable

_TEMPLATES = Path(__file__).parent / "template"

# In this order because later ones need earlier ones.
_SCRIPTS = (
    "dom",
    "tables",
    "methods",
    "scales",
    "chart",
    "curves",
    "losses",
    "scatter",
    "stored",
    "matrix",
    "answers",
    "guesses",
    "main",
)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        key: its anchor.
        heading: the text above it, and in the list of sections.
        template: the file in template/ that writes its content; in that file, this object is `section`.
        content: what that file needs.
    """

    key: str
    heading: str
    template: str
    content: Mapping[str, Any]


@dataclass(frozen=True)
class _Chart:
    """One of the figures; the script draws it again from the page's data.

    Attributes:
        numbers: the CSV files with the numbers it shows.
    """

    name: str
    title: str
    caption: str
    numbers: tuple[str, ...]


_BAND = (
    "Over several seeds or orders a line is their mean. Thin lines are the single ones; from "
    f"{FEWEST_BLOCKS} on, a band reaches from the lowest to the highest."
)
_CHANCE = "Dotted: chance."
_SCATTER = (
    f"{_CHANCE} Hollow points are answers without the task oracle, and a line joins the two answers of a method. "
    f"Upright lines are 95 % confidence intervals; with fewer than {FEWEST_BLOCKS} repetitions, small dots are these. "
    "A label that finds no place is left out: hover over its point."
)
_ABOUT_TASKS = (
    "Its place in the stream, and its name.",
    "How many classes its images have.",
    "Images that methods learn from.",
    "Images that choose options and epochs, and that no accuracy here is measured on.",
    "Images that accuracies are measured on.",
    "The side of an image, in pixels.",
    "The beginning of the SHA-256 of its classes, images and labels: the same for the same data.",
)
# The entries of a process that the page tells beside its hardware and versions.
_PLACE = ("device", "tf32", "workers", "gpus_per_cell")

_CHARTS = (
    _Chart(
        "average_accuracy",
        "Average accuracy on the tasks learned so far (%)",
        f"After each task learned. {_BAND} {_CHANCE}",
        ("accuracy",),
    ),
    _Chart(
        "first_task_accuracy",
        "Accuracy on the first task (%)",
        f"After each task learned: what falls is what was forgotten. {_BAND} {_CHANCE}",
        ("accuracy",),
    ),
    _Chart(
        "accuracy_vs_parameters",
        "Average accuracy (%) against storage",
        f"After the last task, against all that is stored beyond the backbone then, images included. {_SCATTER}",
        ("summary",),
    ),
    _Chart(
        "accuracy_vs_compute",
        "Average accuracy (%) against compute",
        f"After the last task, against the operations of training over those of fine-tuning. {_SCATTER}",
        ("summary", "compute"),
    ),
    _Chart(
        "loss",
        "Training loss",
        "The mean over the images of each epoch, and over repetitions, as tasks are learned one after another. What a "
        "loss is made of differs between methods.",
        (),
    ),
    _Chart(
        "stored",
        "What is stored, by kind",
        "After the last task. Dotted: the size of the backbone, which every method needs; beside each bar: what is "
        "stored beyond it.",
        ("parameters",),
    ),
    _Chart(
        "accuracy_matrix",
        "Accuracy matrices",
        "Accuracy on every task (across) after every task learned (down). Choose a method to read its values.",
        ("accuracy",),
    ),
)


_DROP = _Chart(
    "first_task_accuracy",
    FIRST_TASK_DROP,
    f"After each task learned: its accuracy when it was learned, less its accuracy now. {_BAND}",
    ("accuracy",),
)


def write_page(results: Results) -> Path:
    """Write report.html into the run's folder, with the existing figures inside it.

    Returns:
        The page's path.
    """
    folder, manifest, statistics = results.path, results.manifest, results.statistics
    tables = {table.name: table for table in display_tables(results)}
    overview, inference = tables.pop("summary"), tables.pop("inference", None)
    ranked = _by_accuracy(results)
    scenario = scenario_suffix(manifest)
    data = page_data(results)
    charts = [_DROP if c.name == _DROP.name and results.over_orders else c for c in _CHARTS]
    if all(method["losses"] is None for method in data["methods"]):
        charts = [chart for chart in charts if chart.name != "loss"]
    charts = [replace(chart, title=f"{chart.title}{scenario}") for chart in charts]
    tasks, answers, guesses = _tasks(results.tasks, len(manifest.orders)), answers_data(results), guesses_data(results)
    sections = [
        Section("summary", "Summary", "tables.html.j2", {"tables": [ranked(overview)]}),
        *_reproduction(results),
        *_unfinished(manifest),
        Section("figures", "Figures", "figures.html.j2", {"charts": [(c, *_files(folder, c.name)) for c in charts]}),
        *_oracle(results, ranked(inference) if inference else None),
        *_guesses(guesses),
        *_ranks(folder, statistics),
        *_answers(answers),
        Section("cost", "Storage and compute", "tables.html.j2", {"tables": [ranked(t) for t in tables.values()]}),
        *_methods(manifest.labels),
        Section("tasks", "Tasks", "tables.html.j2", {"tables": [tasks]}),
        *_recipes(manifest),
        Section("settings", "Settings and provenance", "settings.html.j2", {"groups": list(_groups(manifest))}),
        Section("glossary", "Glossary", "glossary.html.j2", {"terms": GLOSSARY}),
    ]
    script = "\n".join((_TEMPLATES / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            name=_name(folder, manifest),
            title=f"{manifest.title}{scenario}",
            facts=_facts(manifest),
            csv=list(results.tables),
            sections=sections,
            # Both are files of this package.
            style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),  # noqa: S704
            script=Markup(script),  # noqa: S704
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            data=data | ({"answers": answers} if answers else {}) | ({"guesses": guesses} if guesses else {}),
        )
    )
    path = folder / "report.html"
    write_atomically(path, printable(page, keep="\n\t").encode())
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # The `tojson` filter also writes <, > and & as escapes, so that no label ends the element with the data.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _facts(manifest: Manifest) -> dict[str, str]:
    """What a reader wants to know first."""
    done = sum(cell["status"] == SUCCEEDED for cell in manifest.cells)
    return {
        "Stream": manifest["stream"]["spec"],
        "Backbone": manifest.backbone["spec"],
        "Methods": f"{len(manifest.labels)}",
        "Tasks": f"{len(manifest.tasks)}",
        "Repetitions": repetitions_text([(seed, order) for _, seed, order in manifest.keys_of_cells]),
        "Cells finished": f"{done} of {len(manifest.cells)}",
    }


def _name(folder: Path, manifest: Manifest) -> str:
    """The run's name, and the day on which it ended, or began if it has not ended."""
    day = str(manifest.get("finished") or manifest.get("started") or "")[:10]
    return ", ".join(filter(None, [manifest.get("name") or folder.resolve().name, day]))


def _by_accuracy(results: Results) -> Callable[[Table], Table]:
    """A function that sorts the rows of a table of methods: the highest average accuracy of the run first."""
    known = results.summary.dropna(subset="average_accuracy").sort_values(
        "average_accuracy", ascending=False, kind="stable"
    )
    places = {printable(label): place for place, label in enumerate(known["method"])}

    def ranked(table: Table) -> Table:
        rows = sorted(enumerate(table.rows), key=lambda row: places.get(row[1][0].text, len(places)))
        return replace(table, rows=tuple(row for _, row in rows), places=tuple(place for place, _ in rows))

    return ranked


def _methods(labels: Sequence[str]) -> Iterator[Section]:
    """The section that says what each method is, and in which paper it is described, as far as they are known here."""
    known = {}
    for label in labels:
        # A plugin of the run may not be there when its report is made again.
        with suppress(UserError):
            known[label] = (methods.summary(method_name(label)), methods.documentation(method_name(label)))
    if known:
        rows = [(label, about, paper if paper != about else "") for label, (about, paper) in known.items()]
        yield Section("methods", "Methods", "methods.html.j2", {"methods": rows})


def _reproduction(results: Results) -> Iterator[Section]:
    """The section of published numbers and ours, if the run is to reproduce any."""
    table = reproduction_display(results)
    if table:
        yield Section("reproduction", "Published numbers reproduced", "reproduction.html.j2", {"tables": [table]})


def _unfinished(manifest: Manifest) -> Iterator[Section]:
    """The section of the cells that did not succeed, if there are any."""
    cells = [cell for cell in manifest.cells if cell["status"] != SUCCEEDED]
    if cells:
        content = {"cells": cells, "ordered": len(manifest.orders) > 1}
        yield Section("unfinished", "What did not finish", "unfinished.html.j2", content)


def _ranks(folder: Path, statistics: Statistics) -> Iterator[Section]:
    """The section that says what tests show, or why they can show nothing, if there are two methods to compare."""
    if statistics.verdict:
        ranks = rank_display(statistics)
        # A file may be left from before, when fewer methods or more seeds were compared.
        image, files = _files(folder, DIAGRAM) if statistics.decidable else (None, [])
        content = {
            "tables": [ranks] if ranks else [],
            "verdict": statistics.verdict,
            "explanation": explanation(statistics),
            "image": image,
            "files": files,
        }
        yield Section("ranks", "Ranks", "ranks.html.j2", content)


def _oracle(results: Results, inference: Table | None) -> Iterator[Section]:
    """The section about answers without the task oracle, if there are any."""
    if inference:
        image, files = _files(results.path, ORACLE_GAP) if has_gaps(results) else (None, [])
        content = {
            "tables": [inference],
            "title": f"{ORACLE_TITLE}{scenario_suffix(results.manifest)}",
            "explanation": "An upright bar is the accuracy with the task oracle, and each mark is a way to answer "
            "without it; the line between them is the gap. A broad line is the 95 % confidence interval; with fewer "
            f"than {FEWEST_BLOCKS} repetitions, small dots are these.",
            "image": image,
            "files": files,
        }
        yield Section("oracle", "Without the task oracle", "oracle.html.j2", content)


def _guesses(guesses: Mapping[str, Any] | None) -> Iterator[Section]:
    """The section that shows for which task images were taken, if tasks were guessed."""
    if guesses:
        content = {
            "caption": "For which task the test images of each task were taken, after the last task learned.",
            "methods": [method["label"] for method in guesses["methods"]],
        }
        yield Section("guesses", "Which task was guessed", "guesses.html.j2", content)


def _answers(answers: Mapping[str, Any] | None) -> Iterator[Section]:
    """The section that shows what methods answered, if answers are kept."""
    if answers:
        content = {
            "caption": "What a method answered to the test images of a task after the last task learned.",
            "methods": [method["label"] for method in answers["methods"]],
            "tasks": [task["name"] for task in answers["tasks"]],
        }
        yield Section("answers", "Answers", "answers.html.j2", content)


def _files(folder: Path, name: str) -> tuple[str | None, list[str]]:
    """A figure as an image to embed, if it was drawn, and its files' paths relative to the page.

    As an image and not as elements of the page, because two SVGs use the same ids.
    """
    files = [f"figures/{name}.{kind}" for kind in ("svg", "png")]
    there = [file for file in files if (folder / file).is_file()]
    if files[0] not in there:
        return None, there
    data = base64.b64encode((folder / files[0]).read_bytes()).decode("ascii")
    return f"data:image/svg+xml;base64,{data}", there


def _tasks(tasks: pd.DataFrame, orders: int) -> Table:
    columns = {
        "classes": "Classes",
        "train_images": "Training images",
        "validation_images": "Validation images",
        "test_images": "Test images",
        "image_size": "Image size",
    }
    rows = [
        (
            TableCell(f"{row['task']}. {row['task_name']}"),
            *(TableCell(f"{row[name]:,}", value=row[name]) for name in columns),
            TableCell(str(row["fingerprint"])[:12]),
        )
        for row in tasks.to_dict("records")
    ]
    caption = "In the order they were learned." if orders == 1 else "In order 0; all orders are below, as a setting."
    headers = ("Task", *columns.values(), "Fingerprint")
    return Table("tasks", caption, headers, tuple(rows), _ABOUT_TASKS)


def _recipes(manifest: Manifest) -> Iterator[Section]:
    if table := recipes_display(manifest):
        yield Section("recipes", "Recipes and options", "tables.html.j2", {"tables": [table]})


def _groups(manifest: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The manifest as headings, each with its (name, text) pairs."""
    plain = {name: value for name, value in manifest.items() if not isinstance(value, Mapping)}
    for heading, values in {"run": plain, **manifest}.items():
        # These have their own tables.
        if isinstance(values, Mapping) and values and heading not in ("budgets", "methods", "reproduces"):
            yield heading.capitalize(), list(_flat(values))
    learned = learning_processes(manifest)
    place = [(name, text) for name in _PLACE if (text := _values(learned, name))]
    if place:
        yield "Where it was learned", place
    differing = differences(learned)
    if differing:
        yield "What differs between the processes that learned it", [(k, "; ".join(v)) for k, v in differing.items()]


def _values(processes: Sequence[Process], name: str) -> str:
    """The values of an entry of processes, without repetitions; empty if none has it."""
    values = [process[name] for process in processes if process.get(name) is not None]
    return ", ".join(map(str, dict.fromkeys(values)))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as (dotted name, text), without tables: these have their own sections."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif key == "command":
            yield name, shlex.join(["python", "-m", "benchmark", *value])
        elif not isinstance(value, list):
            yield name, EMPTY if value is None else str(value)
        elif not any(isinstance(item, Mapping) for item in value):
            yield name, ", ".join(map(str, value)) or EMPTY
