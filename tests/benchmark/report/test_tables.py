import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmark.report.latex import to_latex
from benchmark.report.markdown import to_markdown
from benchmark.report.table import EMPTY, MINUS, Table, TableCell, bytes_text, duration_text, flops_text
from benchmark.report.tables import compute_display, display_tables, rank_display, summary_display
from benchmark.report.text import to_text
from benchmark.results.blocks import Block
from benchmark.results.columns import TIMES
from benchmark.results.paired_tests import Statistics
from benchmark.results.run import results_of
from benchmark.results.schema import ACCURACY_COLUMNS, PAIR_COLUMNS, RANK_COLUMNS, SUMMARY_COLUMNS, TASK_COLUMNS
from benchmark.storage.manifest import Manifest

COLUMNS = [*ACCURACY_COLUMNS, "order"]


def accuracy_rows(method, seed, *matrix):
    return [
        (method, seed, i, j, f"task{j}", value, 100, 0)
        for i, row in enumerate(matrix, start=1)
        for j, value in enumerate(row, start=1)
    ]


@pytest.fixture
def accuracy():
    rows = [
        *accuracy_rows("clr", 0, [0.8], [0.8, 0.6]),
        *accuracy_rows("clr", 1, [0.9], [0.9, 0.7]),
        *accuracy_rows("ewc:fisher=exact_50%", 0, [0.9], [0.5, 0.7]),
        # Seed 1 broke off after a task, so it counts for nothing.
        *accuracy_rows("ewc:fisher=exact_50%", 1, [0.1]),
        *accuracy_rows("er", 0, [0.9]),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.fixture
def parameters():
    columns = [
        "method",
        "backbone_parameters",
        "extra_parameters_per_task",
        "extra_parameters_percent",
        "head_parameters_per_task",
        "frozen_bytes",
        "shared_bytes",
        "task_bytes",
        "memory_bytes",
        "replay_bytes",
        "state_bytes",
        "stored_bytes",
        "stored_percent",
    ]
    rows = [
        ("clr", 11_176_512, 54_336, 0.4861624, 5130, 44_706_048, 0, 217_344, 0, 0, 44_923_392, 217_344, 0.4861624),
        (
            "ewc:fisher=exact_50%",
            11_176_512,
            0,
            0.0,
            5130,
            0,
            44_706_048,
            0,
            89_412_096,
            0,
            134_118_144,
            89_412_096,
            200,
        ),
    ]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def compute():
    columns = [
        "method",
        "training_flops",
        "normalized_compute",
        "training_seconds",
        "normalized_seconds",
        "inference_flops_per_image",
        "normalized_inference",
        "evaluation_seconds",
        "evaluations",
        "peak_memory_bytes",
        "features_cached",
    ]
    rows = [
        ("clr", 3.2e15, 0.671, 22.04, 0.75, 1.84e9, 1.0115, 3.1, 2, 1.2e9, False),
        ("ewc:fisher=exact_50%", 5e15, 1.1, 1234.5, 42.0, 1.82e9, 1.0, 3.0, 3, 2.0e9, False),
    ]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def run(accuracy, parameters, compute):
    """The results of three methods on two tasks, of which one finished, one broke off and one failed."""
    return made(accuracy, parameters, compute, {"ewc:fisher=exact_50%": "running", "clr": "succeeded", "er": "failed"})


def made(accuracy, parameters, compute, statuses):
    tasks = [dict.fromkeys(TASK_COLUMNS, 0) | {"task": number} for number in (1, 2)]
    cells = [{"method": method, "seed": 0, "order": 0, "status": status} for method, status in statuses.items()]
    manifest = {"tasks": tasks, "cells": cells, "orders": [[1, 2]], "reference": "all", "bounds": []}
    return results_of(Path("nowhere"), Manifest(manifest), accuracy, parameters, compute)


def told(run, statistics):
    """The tables of a run with other statistics."""
    return display_tables(replace(run, statistics=statistics))


@pytest.fixture
def summary(run):
    return run.summary


def test_summary_has_the_contracts_columns_and_the_given_order(summary):
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    assert list(summary["method"]) == ["ewc:fisher=exact_50%", "clr", "er"]
    assert list(summary["status"]) == ["incomplete", "succeeded", "failed"]


def with_processes(run, *workers, **entries):
    """The run as if processes with so many workers had learned it."""
    processes = [{} if count is None else {"workers": count} for count in workers]
    return replace(run, manifest=Manifest(run.manifest | {"processes": processes} | entries))


TIMES_SHOWN = {f"Time ({TIMES} fine-tuning)", "Training (s)", "Evaluation (s)"}


def shown_headers(run):
    return {header for table in display_tables(run) for header in table.headers}


@pytest.mark.parametrize("workers", [(2,), (1, 2), (None, 3)])
def test_seconds_of_cells_that_ran_side_by_side_are_not_shown(run, workers):
    before, crowded = shown_headers(run), with_processes(run, *workers)
    assert before - shown_headers(crowded) == TIMES_SHOWN
    summary, _, compute, _ = display_tables(crowded)
    for table in (summary, compute):
        assert "cells ran side by side" in table.caption
        assert len(table.headers) == len(table.rows[0])
        assert "have no ratio" not in table.caption
    assert f"Compute ({TIMES} fine-tuning)" in compute.headers, "that of operations"
    assert "training_seconds" in crowded.tables["compute"]
    assert "normalized_seconds" in crowded.tables["summary"]


@pytest.mark.parametrize(
    ("workers", "entries"), [((1,), {}), ((1, 1), {}), ((None,), {}), ((2,), {"show_seconds": True})]
)
def test_seconds_are_shown_where_cells_ran_alone_and_where_the_user_asked(run, workers, entries):
    alone = with_processes(run, *workers, **entries)
    assert shown_headers(alone) >= TIMES_SHOWN
    assert "side by side" not in summary_display(alone).caption


@pytest.mark.parametrize("asked", [False, True])
def test_a_kept_run_shows_seconds_only_if_the_user_asked(run, asked):
    """Its readers do not know what else the machine did."""
    kept = with_processes(run, 1, kept=True, show_seconds=asked)
    assert bool(shown_headers(kept) & TIMES_SHOWN) == asked
    said = "Seconds are left out: the machine may have done other work."
    assert (said in summary_display(kept).caption) != asked


def test_a_process_that_learned_nothing_does_not_hide_seconds(run):
    """It only made the tables again, with any number of workers."""
    processes = [{"workers": 1, "tasks_left": 3}, {"workers": 2, "tasks_left": 0}]
    assert replace(run, manifest=Manifest(run.manifest | {"processes": processes})).shows_seconds


def test_summary_is_the_mean_over_finished_seeds(summary):
    clr = summary.set_index("method").loc["clr"]
    assert clr["seeds"] == 2
    assert clr["average_accuracy"] == pytest.approx(0.75)  # seeds: 0.7 and 0.8
    assert clr["average_accuracy_ci95"] == pytest.approx(12.706205 * 0.05)
    assert clr["first_task_accuracy"] == pytest.approx(0.85)
    assert clr["forgetting"] == clr["backward_transfer"] == 0
    assert clr["extra_parameters_percent"] == 0.4861624
    assert (clr["normalized_compute"], clr["normalized_seconds"]) == (0.671, 0.75)


def test_an_unfinished_seed_counts_for_nothing(summary):
    ewc = summary.set_index("method").loc["ewc:fisher=exact_50%"]
    assert ewc["seeds"] == 1
    assert ewc["average_accuracy"] == pytest.approx(0.6)
    assert ewc["forgetting"] == pytest.approx(0.4)
    assert ewc["backward_transfer"] == pytest.approx(-0.4)
    assert math.isnan(ewc["average_accuracy_ci95"])


def test_the_interval_is_the_wider_of_those_over_orders_and_over_seeds(parameters, compute):
    rows = [
        *((*row[:-1], 0) for row in accuracy_rows("clr", 0, [0.8], [0.6, 0.4])),  # average 0.5, first 0.6, forgets 0.2
        *((*row[:-1], 1) for row in accuracy_rows("clr", 0, [0.9], [0.8, 0.6])),  # 0.7, 0.8, 0.1
        *((*row[:-1], 0) for row in accuracy_rows("clr", 1, [0.7], [0.7, 0.5])),  # 0.6, 0.7, 0.0
        *((*row[:-1], 1) for row in accuracy_rows("clr", 1, [0.5], [0.5, 0.7])),  # 0.6, 0.5, 0.0
    ]
    accuracy = pd.DataFrame(rows, columns=COLUMNS)
    (clr,) = made(accuracy, parameters, compute, {"clr": "succeeded"}).summary.to_dict("records")
    assert clr["seeds"] == 4
    assert clr["average_accuracy"] == pytest.approx(0.6)
    assert clr["first_task_accuracy"] == pytest.approx(0.65)
    assert clr["forgetting"] == pytest.approx(0.075)
    assert clr["backward_transfer"] == pytest.approx(-0.075)
    # t for 3 degrees of freedom is 3.182446; squared deviations add up to 0.02 and 0.05.
    # The orders have 0.55 and 0.65 in the mean of their seeds, and both seeds 0.6 in the mean of their orders: wider is
    # the interval over orders. t for 1 degree of freedom is 12.706205.
    assert clr["blocks"] == 2
    assert clr["average_accuracy_ci95"] == pytest.approx(12.706205 * 0.05)
    # Lost with seed 0: 0.2 and 0.1, with seed 1 nothing: the wider interval is that over seeds.
    assert clr["first_task_drop"] == pytest.approx(0.075)
    assert clr["first_task_drop_ci95"] == pytest.approx(12.706205 * 0.075)


def test_a_method_without_a_finished_seed_has_no_numbers(summary):
    er = summary.set_index("method").loc["er"]
    assert er["seeds"] == er["blocks"] == 0
    assert er[[name for name in SUMMARY_COLUMNS[3:] if name not in ("blocks", "answer")]].isna().all()


def test_nothing_finished_at_all(accuracy, parameters, compute):
    run = made(accuracy[:0], parameters[:0], compute[:0], {"clr": "failed"})
    assert list(run.summary["seeds"]) == [0]
    assert f"| clr | failed | 0 | {EMPTY} |" in to_markdown(display_tables(run))


def test_cells_are_rounded(run):
    table, storage, spent, _ = told(run, ranks_of(1))
    texts = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    accuracies, costs = (
        ["75.0 (70.0 to 80.0)", "85.0 (80.0 to 90.0)", "0.0", "0.0"],
        ["0.486", "217 kB", "0.486", "0.67", "0.75"],
    )
    assert texts["clr"] == ["succeeded", "2", *accuracies, *costs]
    assert texts["er"] == ["failed", "0"] + [EMPTY] * 9
    assert storage.rows[0][5].text == "44.7 MB"
    assert [cell.text for cell in storage.rows[1][-2:]] == ["89.4 MB", "200"]
    assert spent.rows[1][3].text == "1,234"


def best_of(table: Table) -> set[tuple[str, str]]:
    """The (method, header) of the cells in bold."""
    return {(row[0].text, h) for row in table.rows for h, cell in zip(table.headers, row, strict=True) if cell.best}


def test_bold_is_what_the_ranks_put_first_in_the_column_that_they_are_of(run):
    """clr is the best, and er below it significantly; costs are no matter of ranks."""
    tables = *told(run, ranks_of(12)), rank_display(ranks_of(12))
    assert [best_of(table) for table in tables] == [
        {("clr", "Average accuracy (%)")},
        set(),
        set(),
        set(),
        {("clr", "Average accuracy (%)")},
    ]
    for table in (tables[0], tables[4]):
        assert "Bold: the highest average accuracy, and those that the tests do not put below it." in table.caption


@pytest.mark.parametrize("blocks", [1, 5])
def test_nothing_is_bold_where_blocks_are_too_few_for_a_test(run, blocks):
    tables = told(run, ranks_of(blocks))
    assert not any(best_of(table) for table in tables)
    assert "**" not in to_markdown(tables, ranks_of(blocks))
    assert "Bold" not in to_markdown(tables, ranks_of(blocks))


def test_a_bound_is_never_bold(run):
    bounded = replace(ranks_of(12), bounds=frozenset({"clr"}))
    assert not any(best_of(table) for table in told(run, bounded))


def test_the_caption_says_where_features_are_computed_once(compute):
    for cached, note in (([False, False], ""), ([True, False], " Features of the training images are computed once ")):
        caption = compute_display(compute.assign(features_cached=cached)).caption
        assert caption == "What each method computes." + (note and f"{note}per task: clr.")


def test_statuses_are_shown_only_where_something_failed(run):
    table = summary_display(replace(run, summary=run.summary[run.summary["status"] == "succeeded"]))
    assert "Status" not in table.headers


def test_over_several_orders_the_summary_counts_runs_and_tells_what_the_first_task_lost(run):
    one, several = (summary_display(replace(run, statistics=ranks_of(3, block))) for block in ("seed", "order"))
    assert (one.headers[2], several.headers[2]) == ("Seeds", "Runs")
    assert (one.headers[4], several.headers[4]) == ("First-task accuracy (%)", "First-task drop (pp)")
    # ewc has lost 0.9 - 0.5.
    assert (one.rows[0][4].text, several.rows[0][4].text) == ("50.0", "40.0")
    assert "what the first task of each order has lost since it was learned" in several.caption
    tables = told(run, ranks_of(3, "order"))
    assert several.caption in to_markdown(tables)
    assert several.caption.split(". ")[0] in to_latex(tables)


def test_markdown_is_four_rectangular_tables(run):
    text = to_markdown(told(run, ranks_of(12)))
    blocks = [block.strip().splitlines() for block in text.split("\n\n")]
    tables = [[line for line in block if line.startswith("|")] for block in blocks if block[0].startswith("| Method")]
    assert [len(table) for table in tables] == [2 + 3, 2 + 2, 2 + 2, 2 + 2]
    for table in tables:
        assert len({line.count("|") for line in table}) == 1
    assert "| clr | succeeded | 2 | **75.0 (70.0 to 80.0)** |" in text
    assert "ewc:fisher=exact\\_50%" in text
    assert f"{MINUS}40.0" in text


def test_latex_is_escaped_and_balanced(run):
    text = to_latex(told(run, ranks_of(12)))
    assert r"ewc:fisher=exact\_50\%" in text
    assert r"\textbf{75.0 (70.0 to 80.0)}" in text
    assert "$-$40.0" in text
    assert text.isascii()
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert text.replace(r"\{", "").replace(r"\}", "").count("{") == text.replace(r"\{", "").replace(r"\}", "").count(
        "}"
    )
    for block in text.split(r"\begin{table*}")[1:]:
        columns = block.split(r"\begin{tabular}{")[1].index("}")
        rows = block.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        assert {row.replace(r"\&", "").count("&") for row in rows} == {columns - 1}


def test_latex_escapes_every_special_character(run):
    named = run.summary.replace({"method": {"clr": r"a\b{c}$d&e#f^g~h"}})
    text = to_latex(told(replace(run, summary=named), ranks_of(12)))
    assert r"a\textbackslash{}b\{c\}\$d\&e\#f\textasciicircum{}g\textasciitilde{}h" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (999.6, "1.00 kB"),
        (44_706_048, "44.7 MB"),
        (300_000_000, "300 MB"),
        (2e15, "2.00 PB"),
    ],
)
def test_bytes(value, text):
    assert bytes_text(value) == text


def test_flops():
    assert flops_text(1.82e9) == "1.82 GFLOP"


def test_text_for_a_terminal_breaks_headers_and_leaves_out_empty_columns() -> None:
    table = Table(
        "t",
        "A caption.",
        ("Method", "Average accuracy (%)", "Empty"),
        (
            (TableCell("clr"), TableCell("81.5"), TableCell(EMPTY)),
            (TableCell("online-ewc"), TableCell("9.0"), TableCell(EMPTY)),
        ),
    )
    assert to_text(table) == (
        "A caption.\n"
        "\n"
        "             Average\n"
        "            accuracy\n"
        "Method           (%)\n"
        "--------------------\n"
        "clr             81.5\n"
        "online-ewc       9.0\n"
    )


def ranks_of(blocks: int, block: Block = "seed", reference: str = "all") -> Statistics:
    """er is worse than clr by 10 points."""
    tested = -0.1, 0.0314, 0.00042
    none = (math.nan,) * 3
    to_reference = tested if reference == "clr" else none
    ranks = [("clr", blocks, 1.0, 0.8, *none, *none), ("er", blocks, 2.0, 0.7, *tested, *to_reference)]
    pairs = [("er", "clr", blocks, -0.1, 0.0314, 0.00042, 0.00042, True)]
    return Statistics(
        pd.DataFrame(ranks, columns=list(RANK_COLUMNS)),
        pd.DataFrame(pairs, columns=list(PAIR_COLUMNS)),
        blocks=blocks,
        begun=blocks,
        block=block,
        orders=block == "order",
        reference=reference,
        friedman=None,
    )


def test_ranks_with_the_difference_to_the_best() -> None:
    table = rank_display(ranks_of(12))
    assert table.headers[3:] == ("Difference to the best (pp)", "p of the difference")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["clr", "1.00", "80.0", EMPTY, EMPTY],
        ["er", "2.00", "70.0", f"{MINUS}10.0 ± 3.1", "<0.001"],
    ]
    assert table.caption.startswith("Ranks by average accuracy, the mean over 12 seeds; 1 is best.")
    assert "Holm's correction for all pairs of methods" in table.caption
    assert ranks_of(12).verdict in table.caption
    over_orders = rank_display(ranks_of(12, "order"))
    assert "the mean over 12 orders, each the mean of its repetitions; 1 is best." in over_orders.caption


def test_ranks_with_the_difference_to_the_reference() -> None:
    table = rank_display(ranks_of(12, reference="clr"))
    assert table.headers[3:] == ("Difference to clr (pp)", "p of the difference")
    assert [cell.text for cell in table.rows[1]] == ["er", "2.00", "70.0", f"{MINUS}10.0 ± 3.1", "<0.001"]
    assert "interval of the difference to clr, p its Wilcoxon" in table.caption
    assert "Of 1 method compared with clr, 1 differs significantly" in table.caption


def test_ranks_come_after_the_other_tables(run) -> None:
    tables = told(run, ranks_of(12))
    markdown, latex = (render(tables, ranks_of(12)) for render in (to_markdown, to_latex))
    assert f"| er | 2.00 | 70.0 | {MINUS}10.0 ± 3.1 | \\<0.001 |\n" in markdown
    assert markdown.startswith(to_markdown(tables))
    assert r"er & 2.00 & 70.0 & $-$10.0 $\pm$ 3.1 & \textless{}0.001 \\" in latex
    assert latex.isascii()


def test_with_one_block_there_is_a_sentence_in_place_of_ranks(run) -> None:
    tables = told(run, ranks_of(1))
    markdown, latex = (render(tables, ranks_of(1)) for render in (to_markdown, to_latex))
    assert "Mean rank" not in markdown + latex
    assert markdown.endswith(f"|\n\n{ranks_of(1).verdict}\n")
    assert latex.endswith(f"\n% {ranks_of(1).verdict}\n")


def test_the_tables_say_over_what_times_are_and_why_there_is_no_ratio(accuracy, parameters, compute):
    rows = [compute[compute["method"] == "clr"].assign(method=label) for label in ("clr", "sgd:lr=0.1", "sgd:lr=1")]
    statuses = {"clr": "succeeded", "sgd:lr=0.1": "succeeded", "sgd:lr=1": "succeeded"}
    run = made(accuracy, parameters, pd.concat(rows), statuses)
    summary, _, costs, _ = display_tables(run)
    for table in (summary, costs):
        assert table.caption.endswith(" Times are over those of sgd:lr=0.1, one of sgd:lr=0.1, sgd:lr=1.")
    without = summary_display(made(accuracy, parameters, compute, {"clr": "succeeded"}))
    assert without.caption.endswith(" Times have no ratio, since sgd is not among the methods.")


def repeated(make_run, with_accuracy, accuracies: dict[str, list[float]], **columns: object):
    """A run of one task of ten classes and 300 test images; of each method an accuracy for each seed."""
    run = make_run(list(accuracies), ["flowers"], seeds=len(next(iter(accuracies.values()))))
    return with_accuracy(run, accuracy=[value for own in accuracies.values() for value in own], **columns)


BRACKETS = "In brackets: the lowest and the highest repetition (fewer than 5 give no interval)"


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_of_fewer_than_five_repetitions_no_table_shows_an_interval(make_run, with_accuracy, seeds):
    own = [0.25, 0.75, 0.5, 0.5][:seeds]
    run = repeated(make_run, with_accuracy, {"clr": own, "er": [0.75] * seeds})
    tables = *display_tables(run), rank_display(run.statistics)
    written = to_markdown(tables[:-1], run.statistics) + to_latex(tables[:-1], run.statistics)
    written += "".join(map(to_text, tables))
    assert "±" not in written
    assert r"\pm" not in written
    assert "**" not in written
    assert tables[0].rows[0][2].text == f"{100 * sum(own) / seeds:.1f} (25.0 to 75.0)"
    assert BRACKETS in tables[0].caption
    assert BRACKETS in tables[-1].caption
    assert tables[-1].rows[1][3].text.endswith(f" ({MINUS}50.0 to 0.0)")


def test_from_five_repetitions_on_tables_show_the_interval(make_run, with_accuracy):
    """0.3, 0.4, ..., 0.7: a deviation of 0.1581; Student's t for 4 degrees of freedom is 2.776445."""
    run = repeated(make_run, with_accuracy, {"clr": [0.3, 0.4, 0.5, 0.6, 0.7], "er": [0.3] * 5})
    table, ranks = summary_display(run), rank_display(run.statistics)
    half = f"{100 * 2.776445 * 0.025**0.5 / 5**0.5:.1f}"
    assert table.rows[0][2].text == f"50.0 ± {half}"
    assert ranks.rows[1][3].text == f"{MINUS}20.0 ± {half}"
    assert "± is half the 95 % confidence interval over seeds; pp" in table.caption
    assert "± is half the paired 95 % confidence interval" in ranks.caption
    assert "In brackets" not in table.caption + ranks.caption


def test_a_single_repetition_is_just_a_number(make_run, with_accuracy):
    table = summary_display(repeated(make_run, with_accuracy, {"clr": [0.5]}))
    assert table.rows[0][2].text == "50.0"
    assert table.caption.startswith("Accuracy after the whole stream, and what it cost. pp are percentage points.")


def test_what_counts_are_independent_repetitions(make_run, with_accuracy):
    """Six seeds in each of two orders are two blocks; the brackets hold the lowest and the highest of all twelve."""
    orders = [0] * 6 + [1] * 6
    own = [0.1 * k for k in range(1, 7)] + [0.3] * 6
    run = make_run(["clr"], ["flowers"], seeds=12)
    run = with_accuracy(run, accuracy=own, order=orders, seed=[*range(6)] * 2)
    assert summary_display(run).rows[0][2].text == "32.5 (10.0 to 60.0)"
    run = make_run(["clr"], ["flowers"], seeds=5)
    each = with_accuracy(run, accuracy=own[:5], order=range(5))
    caption = summary_display(each).caption
    assert "± is half the 95 % confidence interval over orders of the tasks and seeds, the wider of the two;" in caption


def test_the_caption_names_the_chance_level_and_who_is_at_it(make_run, with_accuracy):
    """Of 300 images 10 % are right by chance: 30 are, and 38 would be with a probability above 5 %."""
    run = repeated(make_run, with_accuracy, {"clr": [0.4], "psp": [38 / 300], "sgd": [0.1], "er": [0.5]})
    caption = summary_display(run).caption
    assert " Chance level: 10.0 %. At chance, and not ranked: psp, sgd." in caption
    ranks = repeated(make_run, with_accuracy, {"clr": [0.4] * 2, "sgd": [0.1] * 2, "er": [0.5] * 2}).statistics
    table = rank_display(ranks)
    assert [row[0].text for row in table.rows] == ["er", "clr"]
    assert " sgd is at chance level and therefore not ranked. " in table.caption


def test_without_two_methods_above_chance_a_sentence_stands_in_place_of_ranks(make_run, with_accuracy):
    run = repeated(make_run, with_accuracy, {"clr": [0.4], "sgd": [0.1]})
    sentence = "sgd is at chance level and therefore not ranked. So there is nothing to compare."
    assert to_markdown(display_tables(run), run.statistics).endswith(f"|\n\n{sentence}\n")


def test_methods_at_chance_are_never_bold(make_run, with_accuracy):
    own = {"clr": [0.5 + k / 100 for k in range(12)], "sgd": [0.1] * 12, "psp": [0.101] * 12, "er": [0.3] * 12}
    run = repeated(make_run, with_accuracy, own)
    assert best_of(summary_display(run)) == {("clr", "Average accuracy (%)")}
    # Without the two at chance there is one pair, which six blocks decide.
    assert len(run.statistics.pairs) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (4, "4 s"),
        (3599.4, "59 min 59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (90000, "1 day 1 h"),
        (86399, "23 h 59 min"),
        (86400 * 3 + 3600 * 4 + 100, "3 days 4 h"),
        (172800 + 61, "2 days"),
    ],
)
def test_times_have_two_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
