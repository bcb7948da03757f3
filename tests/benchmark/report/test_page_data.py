import json

import numpy as np
import pandas as pd
import pytest

from benchmark.report.page_data import page_data

NAMES = ("accuracy", "summary", "tasks")


def data_of(run):
    return page_data(**{name: run[name] for name in NAMES})


@pytest.fixture
def worked(make_run):
    """One method on two tasks: R is 0.8 / 0.6, 0.4 with seed 0, and 0.4 / 0.4, 0.2 with seed 1."""
    run = make_run(["clr"], ["flowers", "cars"], seeds=2)
    run["accuracy"]["accuracy"] = [0.8, 0.6, 0.4, 0.4, 0.4, 0.2]
    return run


def test_curves_are_means_with_their_intervals(worked):
    (clr,) = data_of(worked)["methods"]
    assert clr["runs"] == clr["learned"] == 2
    # Student's t for two values a and b: 12.7062 * |a - b| / 2.
    assert clr["first_task_accuracy"] == {"mean": [0.6, 0.5], "interval": pytest.approx([2.54124, 1.27062], abs=1e-4)}
    assert clr["average_accuracy"] == {"mean": [0.6, 0.4], "interval": pytest.approx([2.54124, 1.27062], abs=1e-4)}
    assert clr["matrix"] == [[0.6], [0.5, 0.3]]


def test_one_seed_has_no_interval(make_run):
    (clr,) = data_of(make_run(["clr"], ["flowers", "cars"]))["methods"]
    assert clr["average_accuracy"]["interval"] is None
    assert clr["interval"] is None


def test_accuracies_have_four_digits_and_costs_six_that_count(make_run):
    run = make_run(["clr"], ["flowers"])
    run["accuracy"]["accuracy"] = 0.123456
    run["summary"]["average_accuracy"] = 0.123456
    run["summary"]["stored_percent"] = 0.0000123456789
    run["summary"]["normalized_compute"] = 1234.56789
    (clr,) = data_of(run)["methods"]
    assert clr["matrix"] == [[0.1235]]
    assert (clr["accuracy"], clr["storage"], clr["compute"]) == (0.1235, 0.0000123457, 1234.57)


def test_a_failed_method_has_what_it_learned_and_no_cost(make_run):
    clr, er = data_of(make_run(["clr", "er"], ["flowers", "cars"], failed="er"))["methods"]
    assert (clr["learned"], er["learned"]) == (2, 1)
    assert len(er["average_accuracy"]["mean"]) == len(er["matrix"]) == 1
    assert [er[name] for name in ("accuracy", "interval", "storage", "compute")] == [None] * 4


def test_a_method_that_learned_nothing_is_left_out(make_run):
    run = make_run(["clr", "er"], ["flowers"], failed="er")
    run["accuracy"] = run["accuracy"].query("method != 'er'")
    assert [method["label"] for method in data_of(run)["methods"]] == ["clr"]


def test_methods_look_as_in_the_figures_but_for_black(make_run):
    sgd, joint, ewc = data_of(make_run(["sgd", "joint", "online-ewc"], ["flowers"]))["methods"]
    assert (sgd["colour"], sgd["dash"], sgd["marker"]) == ("#7F7F7F", [], "^")
    assert joint["colour"] == "var(--ink)"
    assert (ewc["colour"], ewc["dash"]) == ("#0072B2", [5, 1.5])


def test_over_several_orders_tasks_are_places(make_run):
    run = make_run(["clr"], ["flowers", "cars"])
    assert data_of(run)["tasks"] == ["1. flowers", "2. cars"]
    run["accuracy"]["order"] = 0
    assert data_of(run)["tasks"] == ["1. flowers", "2. cars"]
    run["accuracy"] = pd.concat([run["accuracy"], run["accuracy"].assign(order=1)])
    assert data_of(run)["tasks"] == ["task 1", "task 2"]


def test_over_several_orders_the_first_curve_is_what_was_lost(worked):
    assert data_of(worked)["drop"] is False
    worked["accuracy"]["order"] = worked["accuracy"]["seed"]
    data = data_of(worked)
    (clr,) = data["methods"]
    assert data["drop"] is True
    # 0.2 with seed 0 in order 0, nothing with seed 1 in order 1.
    assert clr["first_task_accuracy"] == {"mean": [0, 0.1], "interval": pytest.approx([0, 1.27062], abs=1e-4)}
    assert clr["average_accuracy"]["mean"] == [0.6, 0.4]


def test_what_was_evaluated_before_it_was_learned_is_there(make_run):
    run = make_run(["clr"], ["flowers", "cars"])
    row = run["accuracy"].iloc[0].to_dict() | {"task": 2, "accuracy": 0.25}
    run["accuracy"] = pd.concat([run["accuracy"], pd.DataFrame([row])])
    (clr,) = data_of(run)["methods"]
    assert [len(row) for row in clr["matrix"]] == [2, 2]
    assert clr["matrix"][0][1] == 0.25


def test_it_is_json_without_nan(make_run):
    run = make_run(["clr", "er"], ["flowers", "cars"], failed="er")
    run["summary"]["normalized_compute"] = np.nan
    data = data_of(run)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert len(data["colours"]) == 101
    # viridis begins and ends so.
    assert (data["colours"][0], data["colours"][100]) == ("#440154", "#fde725")
