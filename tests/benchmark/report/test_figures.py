import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from benchmark.report.figures import NAMES, draw_figures
from benchmark.report.layout import shorten, spread, text_inches
from benchmark.report.points import Point, Spot, points_of
from benchmark.report.scatter import _run_through, draw_scatter
from benchmark.report.style import RC
from benchmark.report.table import MINUS
from benchmark.results.matrices import drawn_runs
from benchmark.results.run import collect, results_of
from benchmark.results.schema import PARAMETER_COLUMNS, TASK_COLUMNS
from benchmark.results.stored import KINDS, stored_kinds
from benchmark.storage.manifest import Manifest

SVG = "{http://www.w3.org/2000/svg}"
FILES = {f"{name}.{kind}" for name in NAMES for kind in ("svg", "png")}


def made_up(methods, tasks, seeds=1, learned=None, classes=10):
    """The results of a made-up run; `learned`: method -> tasks before it failed."""
    random = np.random.default_rng(0)
    learned = dict.fromkeys(methods, tasks) | (learned or {})
    accuracy = pd.DataFrame(
        [
            (method, seed, i, j, f"task_{j}", random.uniform(), 100, 0)
            for method in methods
            for seed in range(seeds)
            for i in range(1, learned[method] + 1)
            for j in range(1, i + 1)
        ],
        columns=["method", "seed", "learned", "task", "task_name", "accuracy", "images", "order"],
    )
    ran = [method for method in methods if learned[method]]
    parameters = pd.DataFrame(
        dict.fromkeys(PARAMETER_COLUMNS, 1000)
        | {
            "method": ran,
            "extra_parameters_percent": [0.0 if k % 2 else 10.0 ** (k % 5 - 2) for k in range(len(ran))],
            "stored_bytes": 1000.0,
            "stored_percent": [10.0 ** (k % 5 - 2) for k in range(len(ran))],
        }
    )
    compute = pd.DataFrame({"method": ran, "normalized_compute": [1.0 + k % 4 for k in range(len(ran))]})
    compute["normalized_seconds"] = compute["normalized_compute"]
    statuses = {method: "succeeded" if learned[method] == tasks else "failed" for method in methods}
    sizes = dict.fromkeys(TASK_COLUMNS, 0) | {"classes": classes, "test_images": 100}
    manifest = {
        "tasks": [sizes | {"task": number, "task_name": f"task_{number}"} for number in range(1, tasks + 1)],
        "cells": [{"method": method, "seed": 0, "order": 0, "status": status} for method, status in statuses.items()],
        "reference": "all",
        "bounds": [],
    }
    return results_of(Path("nowhere"), Manifest(manifest), accuracy, parameters, compute)


def texts(path):
    return ["".join(element.itertext()).strip() for element in ElementTree.parse(path).iter(f"{SVG}text")]


def test_every_figure_is_written_and_named(tmp_path):
    methods = ["clr", "sgd", "er", "ewc:strength=500"]
    paths = draw_figures(made_up(methods, tasks=3, seeds=2), tmp_path / "figures")
    assert {path.name for path in paths} == FILES == {path.name for path in (tmp_path / "figures").iterdir()}
    for name in NAMES:
        shown = " ".join(texts(tmp_path / "figures" / f"{name}.svg"))
        assert all(method in shown for method in methods)
        with Image.open(tmp_path / "figures" / f"{name}.png") as image:
            assert round(image.info["dpi"][0]) == 200
    axis = "Stored beyond the backbone after the stream (% of the backbone)"
    assert axis in texts(tmp_path / "figures" / "accuracy_vs_parameters.svg")


def test_the_same_frames_give_the_same_bytes(tmp_path):
    run = made_up(["clr", "sgd"], tasks=3, seeds=2)
    first = draw_figures(run, tmp_path / "a")
    second = draw_figures(run, tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize(("methods", "tasks"), [(1, 1), (2, 1), (1, 8), (25, 2), (6, 14), (3, 53)])
def test_any_number_of_methods_and_tasks(tmp_path, methods, tasks):
    names = [f"method-{k}" for k in range(methods)]
    draw_figures(made_up(names, tasks), tmp_path)
    for name in NAMES:
        path = tmp_path / f"{name}.svg"
        assert set(names) <= set(texts(path))
        # No wider than a page.
        assert float(ElementTree.parse(path).getroot().get("width").removesuffix("pt")) <= 7.1 * 72


def test_matrix_values_are_written_up_to_twelve_tasks(tmp_path, with_accuracy):
    draw_figures(with_accuracy(made_up(["clr"], tasks=2), accuracy=[0.912, 0.434, 0.778]), tmp_path)
    shown = texts(tmp_path / "accuracy_matrix.svg")
    assert {"91", "43", "78"} <= set(shown)
    assert shown.count("task_1") == shown.count("task_2") == 2


def test_over_several_orders_places_are_averaged_and_no_task_is_named(tmp_path, with_accuracy):
    run = made_up(["clr"], tasks=2, seeds=2)
    # Seed 0 in order 0, seed 1 in order 1: on task 1 they have 50 % in the mean after the last task.
    accuracies = [0.9, 0.3, 0.8, 0.5, 0.7, 0.6]
    draw_figures(with_accuracy(run, order=run.accuracy["seed"], accuracy=accuracies), tmp_path)
    shown = texts(tmp_path / "accuracy_matrix.svg")
    assert {"70", "50"} <= set(shown)
    assert shown.count("task 1") == shown.count("task 2") == 2
    # The first tasks have lost 0.6 and -0.2, so that the axis goes below zero.
    first = texts(tmp_path / "first_task_accuracy.svg")
    assert "What the first task of each order has lost since it was learned (pp)" in first
    assert "Tasks learned (mean of 2 orders, thin: each order)" in first
    assert f"{MINUS}20" in first
    assert not any("task_" in text for name in NAMES for text in texts(tmp_path / f"{name}.svg"))


def test_lines_are_of_what_there_is_less_of(tmp_path, with_accuracy):
    orders, seeds = [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]
    made = made_up(["clr"], tasks=1, seeds=6)
    results = with_accuracy(made, order=orders, seed=seeds, accuracy=[0.2, 0.3, 0.4, 0.5, 0.7, 0.9])
    (run,) = drawn_runs(results.matrices)
    np.testing.assert_allclose(run.matrices.ravel(), [0.3, 0.7])
    assert run.repetitions == 6
    draw_figures(results, tmp_path)
    assert "Tasks learned (mean of 2 orders, thin: each order)" in texts(tmp_path / "average_accuracy.svg")


def test_an_unfinished_method_is_drawn_as_far_as_it_got(tmp_path):
    draw_figures(made_up(["clr", "er", "psp"], tasks=4, learned={"er": 2, "psp": 0}), tmp_path)
    curve = texts(tmp_path / "average_accuracy.svg")
    assert "er (2 of 4 tasks)" in curve
    assert "psp" not in curve
    scatter = texts(tmp_path / "accuracy_vs_compute.svg")
    assert "clr" in scatter
    assert "er" not in scatter


def test_a_run_in_which_nothing_finished(tmp_path):
    draw_figures(made_up(["clr"], tasks=2, learned={"clr": 0}), tmp_path)
    assert texts(tmp_path / "average_accuracy.svg") == ["No method finished a task."]


def test_names_are_not_markup(tmp_path):
    run = made_up(["$x^$<&>"], tasks=1)
    draw_figures(run, tmp_path)
    assert "$x^$<&>" in texts(tmp_path / "average_accuracy.svg")


def test_pyplot_and_torch_are_not_imported():
    code = "import sys, benchmark.report.figures; print({'matplotlib.pyplot', 'torch'} & set(sys.modules))"
    seen = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert seen.strip() == "set()"


def test_spread_keeps_what_is_already_apart():
    assert spread([10.0, 50.0, 30.0], 5, 0, 100) == [10.0, 50.0, 30.0]


def test_spread_moves_as_little_as_it_can():
    # Two at 50 move half the gap each; three at 50 leave the middle one in place.
    assert spread([50.0, 50.0], 10, 0, 100) == [45.0, 55.0]
    assert spread([50.0, 50.0, 50.0], 10, 0, 100) == [40.0, 50.0, 60.0]
    # The pair pushes the third along: 50, 50, 58 less 0, 10, 20 have the mean 42.67.
    assert spread([50.0, 50.0, 58.0], 10, 0, 100) == pytest.approx([42 + 2 / 3, 52 + 2 / 3, 62 + 2 / 3])


def test_spread_stays_within_its_limits():
    assert spread([0.0, 0.0, 100.0, 100.0], 10, 0, 100) == [0.0, 10.0, 90.0, 100.0]


def test_shorten_keeps_both_ends():
    text = "avalanche:SomeVeryLongPluginName:lambda_reg=1"
    short = shorten(text, 1.5)
    assert text_inches(short) <= 1.5
    assert short.startswith("avalanche")
    assert short.endswith("reg=1")
    assert shorten("clr", 1.5) == "clr"
    assert not math.isclose(text_inches("clr"), 0)


def scatter_of(results):
    with mpl.rc_context(RC):
        return draw_scatter(results, "stored_percent", "Stored")


def crowd(methods, spots):
    """A run whose methods stand on so few spots of a scatter that their labels compete."""
    names = [f"method-{k}:strength={k}" for k in range(methods)]
    run = made_up(names, tasks=1)
    place = np.arange(methods) % spots
    summary = run.summary.assign(average_accuracy=0.5 + place / 100, stored_percent=0.0 if spots == 1 else place)
    return replace(run, summary=summary)


@pytest.mark.parametrize("spots", [1, 3, 16])
@pytest.mark.parametrize("methods", [3, 16, 25])
def test_labels_of_a_scatter_neither_collide_nor_are_left_out(methods, spots):
    figure = scatter_of(crowd(methods, spots))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    labels = [text for text in axes.texts if text.get_text()]
    assert len(labels) == methods
    boxes = [text.get_window_extent() for text in labels]
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k]), labels[k].get_text()
    inside = axes.get_window_extent()
    for box in boxes:
        assert inside.x0 - 1 <= box.x0 < box.x1 <= inside.x1 + 1
    spots = axes.transData.transform(
        [(p.main.cost, 100 * p.main.accuracy) for p in points_of(crowd(methods, spots), "stored_percent")]
    )
    for box in boxes:
        assert not any(box.contains(*spot) for spot in spots), "a label hides a point"


@pytest.mark.parametrize(("seeds", "said"), [(1, ""), (3, ", dots: repetitions"), (5, ", bars: 95 % confidence")])
def test_a_scatter_shows_repetitions_or_their_interval(seeds, said):
    figure = scatter_of(made_up(["clr", "er"], tasks=2, seeds=seeds, classes=0))
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == f"Average accuracy after the last task (%{said})"
    dots = [line for line in axes.lines if line.get_markersize() == 2 and len(line.get_xdata())]
    assert [len(line.get_xdata()) for line in dots] == ([seeds] * 2 if seeds == 3 else [])


@pytest.mark.parametrize(
    ("seeds", "note"),
    [(1, ""), (2, "mean of 2 seeds, thin: each seed"), (5, "mean of 5 seeds, band: lowest to highest")],
)
def test_curves_say_what_their_lines_are(seeds, note, tmp_path):
    draw_figures(made_up(["clr", "er"], tasks=2, seeds=seeds, classes=0), tmp_path)
    assert ("Tasks learned" + f" ({note})" * bool(note)) in texts(tmp_path / "average_accuracy.svg")


def test_chance_is_drawn_where_it_is_within_the_axes(tmp_path, with_accuracy):
    """Ten classes: 10 %."""
    run = made_up(["clr"], tasks=2)
    for accuracies, within in (([0.3, 0.2, 0.1], True), ([0.9, 0.8, 0.9], False)):
        draw_figures(with_accuracy(run, accuracy=accuracies), tmp_path)
        assert ("Tasks learned (dotted: chance)" in texts(tmp_path / "average_accuracy.svg")) == within
        assert any("dotted: chance" in text for text in texts(tmp_path / "accuracy_vs_compute.svg")) == within
        assert "Tasks learned" in texts(tmp_path / "first_task_accuracy.svg")


def test_hollow_points_are_without_the_oracle(class_run):
    folder = class_run.manifest()
    results = collect(folder, folder.read_manifest())
    er, clr = points_of(results, "normalized_compute")
    # By its own joint softmax, and by the rule `centres`; both knew the task as `derived` or `task` says.
    assert [(spot.accuracy, spot.oracle) for spot in er.spots] == [(0.625, False), (0.875, True)]
    assert [(spot.accuracy, spot.oracle) for spot in clr.spots] == [(0.625, False), (0.875, True)]
    (axes,) = scatter_of(results).axes
    faces = [line.get_markerfacecolor() for line in axes.lines if line.get_markersize() == 6]
    assert faces.count("white") == 2
    assert len(faces) == 4
    assert "hollow: without the task oracle" in axes.get_title(loc="left")
    assert [text.get_text() for text in axes.texts] == ["er", "clr"]


def test_with_one_kind_of_answers_no_point_is_hollow(answers_run, tmp_path):
    run = answers_run(tmp_path, "domain", [[0, 1], [0, 1]], [2, 2])
    run.cell(("sgd", 0, 0), {"domain": [[[0, 1]], [[0, 1], [0, 0]]]})
    folder = run.manifest()
    (sgd,) = points_of(collect(folder, folder.read_manifest()), "stored_percent")
    assert sgd.main.oracle
    assert sgd.other is None


def test_what_is_stored_is_told_by_kind(tmp_path):
    """Of 1000 bytes of tasks, two heads of 30 parameters take 240; the rest of the memory is 1000 - 600."""
    run = made_up(["clr", "er"], tasks=2)
    run = replace(
        run, parameters=run.parameters.assign(head_parameters_per_task=30, replay_bytes=[600, 0], frozen_bytes=0)
    )
    kinds = stored_kinds(run.parameters, run.manifest)
    assert kinds.loc["clr"].tolist() == [0, 1000, 760, 240, 600, 400]
    assert kinds.loc["er"].tolist() == [0, 1000, 760, 240, 0, 1000]
    draw_figures(run, tmp_path)
    shown = texts(tmp_path / "stored.svg")
    assert {"clr", "er", *KINDS[1:], "1.00 kB"} <= set(shown)
    assert KINDS[0] not in shown, "no method has it"


def test_a_head_for_all_tasks_is_among_the_shared_tensors():
    run = made_up(["er"], tasks=2)
    parameters = run.parameters.assign(head_parameters_per_task=30)
    by_class = Manifest(run.manifest | {"settings": {"scenario": "class"}})
    assert stored_kinds(parameters, by_class).loc["er"].tolist()[1:4] == [760, 1000, 240]
    # As of sgd-ll, which has one head although it is told the task.
    assert stored_kinds(parameters.assign(task_bytes=0), run.manifest).loc["er"].tolist()[1:4] == [760, 0, 240]


def test_many_bars_fit_a_page(tmp_path):
    names = [f"residual-adapters:form=parallel:lr=0.0{k:02}" for k in range(25)]
    draw_figures(made_up(names, tasks=1), tmp_path)
    svg = tmp_path / "stored.svg"
    assert float(ElementTree.parse(svg).getroot().get("width").removesuffix("pt")) <= 7.1 * 72
    assert len({text for text in texts(svg) if "…" in text}) == 25


def test_variants_are_told_apart_in_every_figure(tmp_path):
    names = [f"ewc:strength={strength}:samples=20:bn=frozen" for strength in (100, 500)]
    draw_figures(made_up(names, tasks=8), tmp_path)
    for name in NAMES:
        shown = [text for text in texts(tmp_path / f"{name}.svg") if text.startswith("ewc")]
        assert ["100" in text for text in shown] == [True, False]
        assert ["500" in text for text in shown] == [False, True]


@pytest.mark.parametrize(("end", "through"), [(2.0, True), (0.9, False)])
def test_a_line_to_a_label_keeps_away_from_the_marker_of_another_point(end, through):
    axes = Figure(figsize=(4, 4)).add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 3), ylim=(0, 100))
    points = [Point(name, Spot(0.5, x, True), None, math.nan, ()) for name, x in (("a", 0.5), ("b", 1.5))]
    assert _run_through(axes, points, [Line2D([0.5, end], [50, 50]), None]) == through
