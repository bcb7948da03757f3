import math

import pandas as pd
import pytest

from benchmark.report.tables import (
    EMPTY,
    MINUS,
    SUMMARY_COLUMNS,
    Cell,
    Table,
    bytes_text,
    compute_display,
    display_tables,
    flops_text,
    rank_display,
    summary_display,
    summary_table,
    to_latex,
    to_markdown,
    to_text,
)
from benchmark.statistics import PAIR_COLUMNS, RANK_COLUMNS, Statistics


def accuracy_rows(method, seed, *matrix):
    return [
        (method, seed, i, j, f"task{j}", value, 100)
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
    return pd.DataFrame(rows, columns=["method", "seed", "learned", "task", "task_name", "accuracy", "images"])


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
    ]
    rows = [
        ("clr", 11_176_512, 54_336, 0.4861624, 5130, 44_706_048, 0, 217_344, 0, 0, 44_923_392),
        ("ewc:fisher=exact_50%", 11_176_512, 0, 0.0, 5130, 0, 44_706_048, 0, 89_412_096, 0, 134_118_144),
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
    ]
    rows = [
        ("clr", 3.2e15, 0.671, 22.04, 0.75, 1.84e9, 1.0115, 3.1, 2, 1.2e9),
        ("ewc:fisher=exact_50%", 5e15, 1.1, 1234.5, 42.0, 1.82e9, 1.0, 3.0, 3, 2.0e9),
    ]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def summary(accuracy, parameters, compute):
    statuses = {"ewc:fisher=exact_50%": "incomplete", "clr": "succeeded", "er": "failed"}
    return summary_table(accuracy, parameters, compute, statuses, tasks=2)


def test_summary_has_the_contracts_columns_and_the_given_order(summary):
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    assert list(summary["method"]) == ["ewc:fisher=exact_50%", "clr", "er"]
    assert list(summary["status"]) == ["incomplete", "succeeded", "failed"]


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


def test_every_seed_and_order_counts_alike(parameters, compute):
    rows = [
        *((*row, 0) for row in accuracy_rows("clr", 0, [0.8], [0.6, 0.4])),  # average 0.5, first 0.6, forgets 0.2
        *((*row, 1) for row in accuracy_rows("clr", 0, [0.9], [0.8, 0.6])),  # 0.7, 0.8, 0.1
        *((*row, 0) for row in accuracy_rows("clr", 1, [0.7], [0.7, 0.5])),  # 0.6, 0.7, 0.0
        *((*row, 1) for row in accuracy_rows("clr", 1, [0.5], [0.5, 0.7])),  # 0.6, 0.5, 0.0
    ]
    columns = ["method", "seed", "learned", "task", "task_name", "accuracy", "images", "order"]
    accuracy = pd.DataFrame(rows, columns=columns)
    (clr,) = summary_table(accuracy, parameters, compute, {"clr": "succeeded"}, tasks=2).to_dict("records")
    assert clr["seeds"] == 4
    assert clr["average_accuracy"] == pytest.approx(0.6)
    assert clr["first_task_accuracy"] == pytest.approx(0.65)
    assert clr["forgetting"] == pytest.approx(0.075)
    assert clr["backward_transfer"] == pytest.approx(-0.075)
    # t for 3 degrees of freedom is 3.182446; squared deviations add up to 0.02 and 0.05.
    assert clr["average_accuracy_ci95"] == pytest.approx(3.182446 * math.sqrt(0.02 / 3 / 4))
    assert clr["first_task_accuracy_ci95"] == pytest.approx(3.182446 * math.sqrt(0.05 / 3 / 4))


def test_a_method_without_a_finished_seed_has_no_numbers(summary):
    er = summary.set_index("method").loc["er"]
    assert er["seeds"] == 0
    assert er[list(SUMMARY_COLUMNS[3:])].isna().all()


def test_nothing_finished_at_all(accuracy, parameters, compute):
    summary = summary_table(accuracy[:0], parameters[:0], compute[:0], {"clr": "failed"}, tasks=2)
    assert list(summary["seeds"]) == [0]
    assert f"| clr | failed | 0 | {EMPTY} |" in to_markdown(display_tables(summary, parameters[:0], compute[:0]))


def test_cells_are_rounded_and_the_best_is_marked(summary, parameters, compute):
    table, storage, spent = display_tables(summary, parameters, compute)
    texts = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert texts["clr"] == ["succeeded", "2", "75.0 ± 63.5", "85.0 ± 63.5", "0.0", "0.0", "0.486", "0.67", "0.75"]
    assert texts["er"] == ["failed", "0"] + [EMPTY] * 7
    best = {row[0].text: [h for h, cell in zip(table.headers, row, strict=True) if cell.best] for row in table.rows}
    assert best["er"] == []
    assert best["ewc:fisher=exact_50%"] == ["Extra parameters (% per task)"]
    assert "Average accuracy (%)" in best["clr"]
    assert storage.rows[0][5].text == "44.7 MB"
    assert spent.rows[1][3].text == "1,234"


def test_the_caption_says_where_features_are_computed_once(compute):
    assert compute_display(compute).caption == "What each method computes."
    for cached, note in (([False, False], ""), ([True, False], " Features of the training images are computed once ")):
        caption = compute_display(compute.assign(features_cached=cached)).caption
        assert caption == "What each method computes." + (note and f"{note}per task: clr.")


def test_statuses_are_shown_only_where_something_failed(summary, parameters, compute):
    table = display_tables(summary[summary["status"] == "succeeded"], parameters, compute)[0]
    assert "Status" not in table.headers
    # One method alone is not the best of anything.
    assert not any(cell.best for row in table.rows for cell in row)


def test_over_several_orders_the_summary_counts_runs(summary, parameters, compute):
    one, several = summary_display(summary), summary_display(summary, orders=3)
    assert (one.headers[2], several.headers[2]) == ("Seeds", "Runs")
    assert "interval over seeds;" in one.caption
    assert "interval over seeds and orders of the tasks;" in several.caption
    assert one.rows == several.rows
    assert several.caption in to_markdown(display_tables(summary, parameters, compute, orders=3))
    assert "over seeds and orders of the tasks" in to_latex(display_tables(summary, parameters, compute, orders=3))


def test_markdown_is_three_rectangular_tables(summary, parameters, compute):
    text = to_markdown(display_tables(summary, parameters, compute))
    blocks = [block.strip().splitlines() for block in text.split("\n\n")]
    tables = [[line for line in block if line.startswith("|")] for block in blocks if block[0].startswith("| Method")]
    assert [len(table) for table in tables] == [2 + 3, 2 + 2, 2 + 2]
    for table in tables:
        assert len({line.count("|") for line in table}) == 1
    assert "| clr | succeeded | 2 | **75.0 ± 63.5** |" in text
    assert "ewc:fisher=exact\\_50%" in text
    assert f"{MINUS}40.0" in text


def test_latex_is_escaped_and_balanced(summary, parameters, compute):
    text = to_latex(display_tables(summary, parameters, compute))
    assert r"ewc:fisher=exact\_50\%" in text
    assert r"\textbf{75.0 $\pm$ 63.5}" in text
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


def test_latex_escapes_every_special_character(summary, parameters, compute):
    named = summary.replace({"method": {"clr": r"a\b{c}$d&e#f^g~h"}})
    text = to_latex(display_tables(named, parameters, compute))
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
        ((Cell("clr"), Cell("81.5"), Cell(EMPTY)), (Cell("online-ewc"), Cell("9.0"), Cell(EMPTY))),
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


def ranks_of(blocks: int, orders: bool = False) -> Statistics:
    ranks = [("clr", blocks, 1.0, 0.8, math.nan, math.nan, math.nan), ("er", blocks, 2.0, 0.7, -0.1, 0.0314, 0.00042)]
    pairs = [("er", "clr", blocks, -0.1, 0.0314, 0.00042, 0.00042, True)]
    return Statistics(
        pd.DataFrame(ranks, columns=list(RANK_COLUMNS)),
        pd.DataFrame(pairs, columns=list(PAIR_COLUMNS)),
        blocks=blocks,
        begun=blocks,
        orders=orders,
        friedman=None,
    )


def test_ranks_with_the_difference_to_the_best() -> None:
    table = rank_display(ranks_of(12))
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["clr", "1.00", "80.0", EMPTY, EMPTY],
        ["er", "2.00", "70.0", f"{MINUS}10.0 ± 3.1", "<0.001"],
    ]
    assert [cell.best for cell in table.rows[0]] == [False, True, True, False, False]
    assert table.caption.startswith("Ranks by average accuracy, the mean over 12 seeds; 1 is best.")
    assert table.caption.endswith(ranks_of(12).verdict)
    assert (
        "over 12 blocks, each a seed in one order of the tasks; 1 is best." in rank_display(ranks_of(12, True)).caption
    )


def test_ranks_come_after_the_other_tables(summary, parameters, compute) -> None:
    tables = display_tables(summary, parameters, compute)
    markdown, latex = (render(tables, ranks_of(12)) for render in (to_markdown, to_latex))
    assert f"| er | 2.00 | 70.0 | {MINUS}10.0 ± 3.1 | \\<0.001 |\n" in markdown
    assert markdown.startswith(to_markdown(display_tables(summary, parameters, compute)))
    assert r"er & 2.00 & 70.0 & $-$10.0 $\pm$ 3.1 & \textless{}0.001 \\" in latex
    assert latex.isascii()


def test_with_one_block_there_is_a_sentence_in_place_of_ranks(summary, parameters, compute) -> None:
    tables = display_tables(summary, parameters, compute)
    markdown, latex = (render(tables, ranks_of(1)) for render in (to_markdown, to_latex))
    assert "Mean rank" not in markdown + latex
    assert markdown.endswith(f"|\n\n{ranks_of(1).verdict}\n")
    assert latex.endswith(f"\n% {ranks_of(1).verdict}\n")
