"""The summary of a run, and the same three tables as Markdown, as LaTeX and (through `display_tables`) as HTML."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import pandas as pd

from benchmark.report.table import EMPTY, MINUS, WRITERS, Table, TableCell
from benchmark.results.blocks import counted
from benchmark.results.columns import TIMES, Column, explanation_of, shown_in
from benchmark.results.paired_tests import RANKED_BY, Statistics
from benchmark.results.questions import JOINT, asked, rule_of
from benchmark.results.reference import ALL_PAIRS
from benchmark.results.repeated import FEWEST_BLOCKS, Repeated, any_shown
from benchmark.results.run import Results
from benchmark.storage.manifest import SUCCEEDED, Manifest
from methods.names import printable

# What --equal-memory and --equal-compute gave; in the last header, {} is the method that the others are equal to.
_BUDGETS = (
    Column(
        name="memory_bytes",
        csv=(),
        meaning="the most that its stored samples may take",
        headers={"budgets": "Replay memory"},
        form="bytes",
    ),
    Column(
        name="epochs",
        csv=(),
        meaning="passes over the training images of each task",
        headers={"budgets": "Epochs"},
        form="count",
    ),
    Column(
        name="compute_ratio",
        csv=(),
        meaning="the operations of its training over those of the method that the others are equal to",
        headers={"budgets": f"Training ({TIMES} {{}})"},
        form="fine ratio",
    ),
)


# What stands in brackets behind a mean of a few repetitions.
_BRACKETS = f"In brackets: the lowest and the highest repetition (fewer than {FEWEST_BLOCKS} give no interval)"

# What a reader must know of the answers, beside the accuracy.
_SCENARIOS = {
    "task": "",
    "class": " The task of a test image is not known: an answer is one of the classes of all tasks so far (class).",
    "domain": " The task of a test image is not known; all tasks have the same classes (domain).",
}


def _about_scenarios(manifest: Manifest) -> str:
    """What is known of a test image; of a comparison of several scenarios, that the labels say so."""
    scenarios = list(dict.fromkeys(asked(manifest, label).scenario for label in manifest.labels))
    if len(scenarios) == 1:
        return _SCENARIOS[scenarios[0]]
    return (
        f" The runs ask different questions ({', '.join(scenarios)}): their accuracies say what it costs not to know "
        f"the task, not which method is better. A method without a mark is asked in the scenario {scenarios[0]}."
    )


def summary_display(results: Results) -> Table:
    """The summary as a reader sees it; it has a column of statuses only if a method did not succeed."""
    statistics, budgets = results.statistics, budgets_display(results.manifest)
    caption = f"Accuracy after the whole stream, and what it cost. {_about_spread(results)}pp are percentage points."
    caption += _about_chance(results)
    caption += _about_scenarios(results.manifest) + _about_rules(results.manifest)
    if statistics.orders:
        caption += " The drop is what the first task of each order has lost since it was learned."
    if statistics.leaders:
        caption += f" {_bold_means(statistics)}"
    if note := _about_seconds(results):
        caption += f" {note}"
    if budgets:
        caption += f" {budgets.caption}"
    statuses = bool((results.summary["status"] != SUCCEEDED).any())
    return _table(
        "summary",
        caption,
        _shown(results.summary, results),
        statuses=statuses,
        leaders=statistics.leaders,
        over_orders=statistics.orders,
        repeated=results.repeated,
    )


def _about_spread(results: Results) -> str:
    """What stands behind the means in the summary: intervals, the lowest and the highest repetition, or nothing."""
    blocks = results.summary["blocks"]
    over = "orders of the tasks and seeds, the wider of the two" if results.statistics.orders else "seeds"
    interval = f"± is half the 95 % confidence interval over {over}; " if (blocks >= FEWEST_BLOCKS).any() else ""
    few = f"{_BRACKETS}; " if any_shown(results.repeated) else ""
    return interval + few


def _about_chance(results: Results) -> str:
    """The chance level, and the methods that do not exceed it, as sentences with a space before each."""
    known = results.summary.dropna(subset="chance_level")
    levels = known.groupby(known["chance_level"].map(WRITERS["percent"]), sort=False)["method"].agg(", ".join)
    if levels.empty:
        return ""
    one = len(levels) == 1
    said = ", ".join(f"{level} %" if one else f"{level} % ({methods})" for level, methods in levels.items())
    at_chance = results.statistics.at_chance
    return f" Chance level: {said}." + f" At chance, and not ranked: {', '.join(at_chance)}." * bool(at_chance)


def _about_rules(manifest: Manifest) -> str:
    """Which methods answer through task inference, by each rule, as sentences with a space before each."""
    by_rule: dict[str, list[str]] = {}
    for label in manifest.labels:
        if rule := rule_of(asked(manifest, label).main):
            by_rule.setdefault(rule, []).append(label)
    return "".join(
        f" {', '.join(labels)} {'answers' if len(labels) == 1 else 'answer'} through task inference ({rule})."
        for rule, labels in by_rule.items()
    )


def _bold_means(statistics: Statistics) -> str:
    aside = f", the bounds ({', '.join(sorted(statistics.bounds))}) aside" if statistics.bounds else ""
    return f"Bold: the highest average accuracy{aside}, and those that the tests do not put below it."


def inference_display(results: Results) -> Table | None:
    """inference.csv as a reader sees it; None where no method answers without knowing the task."""
    if results.inference.empty:
        return None
    joint = [way for way in JOINT.values() if way in set(results.inference["rule"])]
    caption = (
        "Without the task oracle: average accuracy after the whole stream if a rule guesses the task of each test image"
        + f", or if the method needs no task ({', '.join(joint)})" * bool(joint)
        + ". "
        "With the oracle, the task is known; both answers come from the same state, and the gap is their difference."
    )
    names = ("method", "rule")
    keys = results.inference[list(names)].itertuples(index=False, name=None)
    if any(len(results.repeated.get((*key, "accuracy_inferred"), ())) > 1 for key in keys):
        caption += f" {_BRACKETS}."
    return _table("inference", caption, results.inference, names=names, repeated=results.repeated)


def storage_display(parameters: pd.DataFrame) -> Table:
    """parameters.csv as a reader sees it."""
    return _table("storage", "What each method stores.", parameters)


def compute_display(compute: pd.DataFrame, note: str = "") -> Table:
    """The columns of compute.csv that exist, as a reader sees them.

    Args:
        compute: the rows.
        note: what a reader must know about seconds.
    """
    caption = "What each method computes."
    once = compute.loc[compute["features_cached"].astype(bool), "method"]
    if len(once):
        caption += f" Features of the training images are computed once per task: {', '.join(once)}."
    if note:
        caption += f" {note}"
    return _table("compute", caption, compute)


def efficiency_display(results: Results) -> Table:
    """efficiency.csv as a reader sees it."""
    caption = (
        "What is reached with what is stored and computed. Points are percentage points of average accuracy above "
        f"chance{_chance_of_answers(results)}. Unbeaten in storage or in compute: no other method is as accurate at a "
        "lower cost of that kind."
    )
    table = results.efficiency
    several = table["answer"].nunique() > 1
    names = ("method", "answer", "unbeaten") if several else ("method", "unbeaten")
    return _table("efficiency", caption, table, names=names)


def _chance_of_answers(results: Results) -> str:
    """The chance level of each kind of answers, in brackets; empty where there is one kind, as summary.md says it."""
    known = results.tables["summary"].dropna(subset="chance_level")
    if known["answer"].nunique() < 2:
        return ""
    levels = known["chance_level"].map(WRITERS["percent"])
    answers = known["answer"].groupby(levels, sort=False).agg(lambda names: ", ".join(dict.fromkeys(names)))
    return f" ({'; '.join(f'{level} % for {names}' for level, names in answers.items())})"


def rank_display(statistics: Statistics) -> Table | None:
    """ranks.csv as a reader sees it, with the verdict of the tests in its caption; None with fewer than two blocks."""
    if statistics.blocks < 2:
        return None
    reference = statistics.reference
    name, to, corrected = "reference", reference, f"for {counted(len(statistics.pairs), 'method')} compared with it"
    if reference == ALL_PAIRS:
        name, to, corrected = "best", "the best", "for all pairs of methods"
    each = ", each the mean of its repetitions" if statistics.orders else ""
    spread = f"± is half the paired 95 % confidence interval of the difference to {to}"
    if statistics.blocks < FEWEST_BLOCKS:
        spread = f"{_BRACKETS}, of the difference to {to}"
    caption = (
        f"Ranks by average accuracy, the mean over {statistics.counted(statistics.blocks)}{each}; 1 is best. "
        f"{spread}, p its Wilcoxon signed-rank test with Holm's correction {corrected}. {statistics.verdict}"
    )
    if statistics.leaders:
        caption += f" {_bold_means(statistics)}"
    columns = shown_in(f"ranks to {name}")
    headers = [column.header(f"ranks to {name}").format(to) for column in columns]
    return _table(
        "ranks",
        caption,
        statistics.ranks,
        list(zip(columns, headers, strict=True)),
        leaders=statistics.leaders,
        repeated=statistics.repeated,
    )


def budgets_display(manifest: Manifest) -> Table | None:
    """What each method got with --equal-memory or --equal-compute; None without these options."""
    if not manifest.budgets:
        return None
    settings = manifest.settings
    said = []
    if settings["equal_memory"]:
        said.append(f"A replay memory has as many bytes as {settings['equal_memory']} adds over the whole stream.")
    if settings["equal_compute"]:
        said.append(
            f"Each method trains for the epochs that cost most nearly what {settings['epochs']} of "
            f"{settings['equal_compute']} do, in operations."
        )
    frame = pd.DataFrame([{"method": label, **budget} for label, budget in manifest.budgets.items()])
    columns = [(column, column.header("budgets").format(settings["equal_compute"])) for column in _BUDGETS]
    return _table("budgets", " ".join(said), frame.dropna(axis=1, how="all"), columns)


def backbones_display(backbones: pd.DataFrame, method: str, repeated: Repeated) -> Table:
    """backbones.csv as a reader sees it; `repeated` is for its rows what that of Results is for the summary."""
    caption = (
        f"{method} on several backbones: accuracy after the whole stream, and what it cost. Compute is relative to "
        "fine-tuning the same backbone."
    )
    failed = bool((backbones["status"] != SUCCEEDED).any())
    if any_shown(repeated):
        caption += f" {_BRACKETS}."
    names = ("backbone", "pretraining")
    return _table("backbones", caption, backbones, statuses=failed, names=names, repeated=repeated)


def display_tables(results: Results) -> tuple[Table, ...]:
    """The tables of a run as a reader sees them.

    The summary, accuracy without the task oracle if there is any, storage, compute, what is reached with both, and the
    budgets if they were equal.
    """
    inference, budgets = inference_display(results), budgets_display(results.manifest)
    tables = (
        summary_display(results),
        *([inference] if inference else []),
        storage_display(results.parameters),
        compute_display(_shown(results.compute, results), _about_seconds(results)),
        efficiency_display(results),
    )
    return (*tables, budgets) if budgets else tables


def _shown(frame: pd.DataFrame, results: Results) -> pd.DataFrame:
    """The columns that the run's tables show."""
    return frame if results.shows_seconds else frame[[name for name in frame if not name.endswith("_seconds")]]


def _about_seconds(results: Results) -> str:
    """What a reader must know about the seconds in tables, or why there are none; may be empty."""
    if results.shows_seconds:
        return results.time_unit.note
    if results.manifest.kept:
        return "Seconds are left out: the machine may have done other work. The option seconds of report shows them."
    return (
        "Seconds are left out: cells ran side by side and slowed each other down. The option seconds of run and report "
        "shows them."
    )


def _table(
    name: str,
    caption: str,
    frame: pd.DataFrame,
    columns: Sequence[tuple[Column, str]] | None = None,
    statuses: bool = False,
    names: Sequence[str] = ("method",),
    leaders: Collection[str] = (),
    over_orders: bool = False,
    repeated: Repeated | None = None,
) -> Table:
    """Columns of text (`names` and statuses), then the numbers that exist.

    Args:
        columns: with their headers; None for the columns that declare this table themselves.
        leaders: the methods whose average accuracy is in bold.
        over_orders: whether the headers are those for several orders.
        repeated: each value behind a mean, if they are too few for an interval; a row is called by its `names`.
    """
    if columns is None:
        columns = [(column, column.header(name, over_orders)) for column in shown_in(name, over_orders)]
    words = [*names, "status"] if statuses else names
    body = [[TableCell(printable(str(text))) for text in frame[word]] for word in words]
    headers, explanations = [word.capitalize() for word in words], [explanation_of(word) for word in words]
    for column, header in columns:
        if column.name in frame:
            bold = leaders if column.name == RANKED_BY else ()
            body.append(_cells(frame, column, bold, names, repeated or {}))
            headers.append(header)
            explanations.append(column.explanation)
    rows = tuple(zip(*body, strict=True))
    return Table(name, printable(caption), tuple(headers), rows, tuple(explanations), len(words))


def _cells(
    frame: pd.DataFrame, column: Column, leaders: Collection[str], names: Sequence[str], repeated: Repeated
) -> list[TableCell]:
    cells, write = [], WRITERS[column.form]
    for row in frame.to_dict("records"):
        number = float(row[column.name])
        text = EMPTY if math.isnan(number) else write(number)
        few = repeated.get((*(str(row[name]) for name in names), column.name))
        if few is not None:
            text += f" ({write(min(few))} to {write(max(few))})" if len(few) > 1 else ""
        elif column.ci95 is not None and not math.isnan(spread := float(row[column.ci95])):
            text += f" ± {write(spread)}"
        best = row["method"] in leaders if leaders else False
        cells.append(TableCell(text.replace("-", MINUS), best, value=None if math.isnan(number) else number))
    return cells
