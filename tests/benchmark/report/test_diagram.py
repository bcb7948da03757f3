"""The critical-difference diagram: when it is drawn, and what its bars join."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import combinations

import pandas as pd
import pytest
from PIL import Image

from benchmark.report.diagram import alike, draw_critical_difference, joined, stacked
from benchmark.results.paired_tests import PAIR_COLUMNS, RANK_COLUMNS, Statistics

SVG = "{http://www.w3.org/2000/svg}"


def outcome(ranks: dict[str, float], same: set[str], blocks: int = 20) -> Statistics:
    """Mean ranks, the best first, and the pairs, as "ab", that do not differ significantly."""
    pairs = [(a, b, blocks, 0.1, 0.05, 0.01, 0.04, a + b not in same) for a, b in combinations(ranks, 2)]
    rows = [(method, blocks, rank, 0.5, *[None] * 6) for method, rank in ranks.items()]
    return Statistics(
        ranks=pd.DataFrame(rows, columns=list(RANK_COLUMNS)),
        pairs=pd.DataFrame(pairs, columns=list(PAIR_COLUMNS)),
        blocks=blocks,
        begun=blocks,
        block="seed",
        orders=False,
        reference="all",
        friedman=None,
    )


FOUR = {"a": 1.2, "b": 1.9, "c": 3.1, "d": 3.8}


def texts(path) -> list[str]:
    return ["".join(element.itertext()).strip() for element in ElementTree.parse(path).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("same", "bars"),
    [
        (set(), []),
        ({"ab"}, [(0, 1)]),
        ({"ab", "bc", "ac", "cd"}, [(0, 2), (2, 3)]),
        ({"ab", "bc"}, [(0, 1), (1, 2)]),
        ({"cd", "ad"}, [(0, 3)]),
        # b differs from both, although they do not from each other: the bar passes over it.
        ({"ac"}, [(0, 2)]),
        ({"ab", "ac", "ad", "bc", "bd", "cd"}, [(0, 3)]),
    ],
)
def test_bars_join_every_two_methods_that_do_not_differ(same, bars):
    assert joined(outcome(FOUR, same)) == bars


def test_bars_are_stacked_where_they_would_touch():
    assert stacked([(1, 2), (1.5, 3), (2.5, 4), (3.05, 5)], gap=0.1) == [0, 1, 0, 2]
    assert stacked([], gap=1) == []


def test_the_diagram_names_methods_with_their_ranks(tmp_path):
    paths = draw_critical_difference(outcome(FOUR, {"ab"}), tmp_path / "figures")
    assert [path.name for path in paths] == ["critical_difference.svg", "critical_difference.png"]
    shown = [text.replace("\N{EN SPACE}", "|") for text in texts(paths[0])]
    assert {"a|1.20", "b|1.90", "3.10|c", "3.80|d"} <= set(shown)
    assert "Mean rank by average accuracy over 20 seeds (1 is best)" in shown
    assert any(text.startswith("Two methods that no bar joins differ significantly") for text in shown)
    with Image.open(paths[1]) as image:
        assert round(image.info["dpi"][0]) == 200


def test_with_a_reference_marks_show_what_does_not_differ_from_it(tmp_path):
    every = outcome(FOUR, {"bc"})
    pairs = every.pairs[(every.pairs["method_a"] == "b") | (every.pairs["method_b"] == "b")]
    statistics = replace(every, pairs=pairs, reference="b")
    assert alike(statistics) == ["c"]
    svg, _ = draw_critical_difference(statistics, tmp_path)
    sentence = "Methods with a dot below the axis do not differ significantly from b (square)"
    assert any(text.startswith(sentence) for text in texts(svg))


@pytest.mark.parametrize(
    "statistics",
    [
        outcome(FOUR, {"ab"}, blocks=7),
        outcome(FOUR, {"ab"}, blocks=0),
        outcome({"a": 1.0, "b": 2.0}, set()),
        outcome({}, set()),
    ],
)
def test_too_few_blocks_or_methods_for_a_diagram(statistics, tmp_path):
    assert draw_critical_difference(statistics, tmp_path / "figures") == []
    assert not (tmp_path / "figures").exists()


def test_a_diagram_that_no_longer_holds_is_removed(tmp_path):
    paths = draw_critical_difference(outcome(FOUR, {"ab"}), tmp_path)
    assert all(path.is_file() for path in paths)
    draw_critical_difference(outcome(FOUR, {"ab"}, blocks=5), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_same_statistics_give_the_same_bytes(tmp_path):
    statistics = outcome(FOUR, {"ab", "bc", "cd"})
    first, second = (draw_critical_difference(statistics, tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_many_methods_with_long_names_fit_a_page(tmp_path):
    names = [f"residual-adapters:form=parallel:lr=0.0{k:02}" for k in range(25)]
    statistics = outcome({name: 1 + k * 0.95 for k, name in enumerate(names)}, {names[0] + names[1]})
    svg, _ = draw_critical_difference(statistics, tmp_path)
    assert float(ElementTree.parse(svg).getroot().get("width").removesuffix("pt")) <= 7.1 * 72
    ends = {text.partition("…")[2].partition("\N{EN SPACE}")[0] for text in texts(svg) if "…" in text}
    assert len(ends) == 25, "what tells them apart is still there"
