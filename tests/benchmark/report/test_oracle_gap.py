"""The figure of accuracy with and without the task oracle, and the table beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmark.report.latex import to_latex
from benchmark.report.markdown import to_markdown
from benchmark.report.oracle_gap import draw_oracle_gap
from benchmark.report.tables import display_tables, inference_display, summary_display
from benchmark.results.run import Results, collect

SVG = "{http://www.w3.org/2000/svg}"


def results(run: Any) -> Results:
    folder = run.manifest()
    return collect(folder, folder.read_manifest())


def texts(path: Path) -> list[str]:
    return ["".join(element.itertext()).strip() for element in ElementTree.parse(path).iter(f"{SVG}text")]


def test_every_method_and_way_is_named(class_run: Any, tmp_path: Path) -> None:
    paths = draw_oracle_gap(results(class_run), tmp_path / "figures")
    assert [path.name for path in paths] == ["oracle_gap.svg", "oracle_gap.png"]
    shown = texts(paths[0])
    assert {"er", "clr", "with the oracle", "joint softmax", "centres", "energy"} <= set(shown)
    assert any(text.endswith(", scenario class") for text in shown)
    again = draw_oracle_gap(results(class_run), tmp_path / "again")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_many_ways_and_methods_are_no_wider_than_a_page(answers_run: Any, tmp_path: Path) -> None:
    rules = ["max-softmax", "entropy", "energy", "centres", "gmm", "mahalanobis", "one-of-a-plugin"]
    run = answers_run(tmp_path / "run", "task", [[0, 1]], [2], rules, [[1]])
    for k in range(12):
        run.cell((f"clr:width={k}", 0, 0), {"task": [[[0, 1]]]}, {rule: [[[0, 0]]] for rule in rules})
    (path, _) = draw_oracle_gap(results(run), tmp_path / "figures")
    assert {*rules, "clr:width=11"} <= set(texts(path))
    assert float(ElementTree.parse(path).getroot().get("width", "").removesuffix("pt")) <= 7.1 * 72


def test_with_one_answer_there_is_no_figure_and_an_old_one_is_removed(answers_run: Any, tmp_path: Path) -> None:
    run = answers_run(tmp_path / "run", "domain", [[0, 1], [0, 1]], [2, 2], ["gmm"])
    run.cell(("sgd", 0, 0), {"domain": [[[0, 1]], [[0, 1], [0, 0]]]})
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "oracle_gap.svg").write_text("old")
    found = results(run)
    assert found.inference["rule"].tolist() == ["one head"]
    assert draw_oracle_gap(found, tmp_path / "figures") == []
    assert not list((tmp_path / "figures").iterdir())


def test_the_table_is_in_markdown_and_latex(class_run: Any) -> None:
    found = results(class_run)
    table = inference_display(found)
    assert table is not None
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["er", "joint softmax", "62.5", "87.5", "62.5", "25.0", "0 B", "12 FLOP", "1.200", "0"],
        ["clr", "centres", "62.5", "87.5", "62.5", "25.0", "100 B", "30 FLOP", "3.000", "2"],
        ["clr", "energy", "100.0", "87.5", "87.5", "0.0", "0 B", "30 FLOP", "3.000", "2"],
    ]
    assert [each.name for each in display_tables(found)] == ["summary", "inference", "storage", "compute", "efficiency"]
    assert "| clr | centres | 62.5 |" in to_markdown(display_tables(found))
    assert r"\label{tab:inference}" in to_latex(display_tables(found))


@pytest.mark.parametrize(
    ("scenario", "says"),
    [("class", "an answer is one of the classes of all tasks so far (class). clr"), ("domain", "(domain). clr")],
)
def test_the_caption_says_who_answers_how(scenario: str, says: str, answers_run: Any, tmp_path: Path) -> None:
    run = answers_run(tmp_path / "run", scenario, [[0, 1], [0, 1]], [2, 2], ["centres", "gmm"])
    for method in ("clr", "bn-only"):
        run.cell(
            (method, 0, 0),
            {"task": [[[0, 1]], [[0, 1], [0, 1]]]},
            {rule: [[[0, 1]], [[0, 1], [2, 3]]] for rule in ("centres", "gmm")},
        )
    caption = summary_display(results(run)).caption
    assert f"{says}, bn-only answer through task inference (centres)." in caption
    assert len(results(run).summary) == 2
