import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmark.report.page_data import page_data
from benchmark.results.run import collect, results_of
from benchmark.results.stored import KINDS


@pytest.fixture
def worked(make_run, with_accuracy):
    """One method on two tasks: R is 0.8 / 0.6, 0.4 with seed 0, and 0.4 / 0.4, 0.2 with seed 1."""
    run = make_run(["clr"], ["flowers", "cars"], seeds=2)
    return with_accuracy(run, accuracy=[0.8, 0.6, 0.4, 0.4, 0.4, 0.2])


def test_curves_are_means_with_the_lowest_and_the_highest(worked):
    (clr,) = page_data(worked)["methods"]
    assert clr["runs"] == clr["learned"] == 2
    ends = {"lowest": [0.4, 0.4], "highest": [0.8, 0.6], "each": [[0.8, 0.6], [0.4, 0.4]]}
    assert clr["first_task_accuracy"] == {"mean": [0.6, 0.5], **ends}
    ends = {"lowest": [0.4, 0.3], "highest": [0.8, 0.5], "each": [[0.8, 0.5], [0.4, 0.3]]}
    assert clr["average_accuracy"] == {"mean": [0.6, 0.4], **ends}
    # Two repetitions are too few for an interval.
    assert (clr["interval"], clr["repeated"]) == (None, [0.5, 0.3])
    assert clr["matrix"] == [[0.6], [0.5, 0.3]]


def test_where_each_seed_learns_in_each_order_the_band_is_over_their_means(make_run, with_accuracy):
    """Six runs of one task: 0.2, 0.3, 0.4 in order 0 and 0.5, 0.7, 0.9 in order 1, as the figures draw them."""
    run = make_run(["clr"], ["flowers"], seeds=6)
    orders, seeds = [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]
    (clr,) = page_data(with_accuracy(run, order=orders, seed=seeds, accuracy=[0.2, 0.3, 0.4, 0.5, 0.7, 0.9]))["methods"]
    assert clr["average_accuracy"] == {"mean": [0.5], "lowest": [0.3], "highest": [0.7], "each": [[0.3], [0.7]]}
    assert clr["runs"] == 6


def test_one_seed_has_no_band_and_no_interval(make_run):
    (clr,) = page_data(make_run(["clr"], ["flowers", "cars"]))["methods"]
    assert clr["average_accuracy"]["lowest"] is clr["average_accuracy"]["highest"] is None
    assert clr["average_accuracy"]["each"] is clr["interval"] is clr["other"] is None
    assert len(clr["repeated"]) == 1


def test_from_five_seeds_on_there_is_an_interval_and_no_single_line(make_run, with_accuracy):
    run = with_accuracy(make_run(["clr"], ["flowers"], seeds=5), accuracy=[0.3, 0.4, 0.5, 0.6, 0.7])
    (clr,) = page_data(run)["methods"]
    # Student's t for 4 degrees of freedom is 2.776445, and the deviation is the root of 0.025.
    assert clr["interval"] == pytest.approx(2.776445 * 0.025**0.5 / 5**0.5, abs=1e-4)
    assert clr["repeated"] == []
    assert clr["average_accuracy"] == {"mean": [0.5], "lowest": [0.3], "highest": [0.7], "each": None}


def test_the_chance_level_of_the_tasks_so_far(make_run):
    assert page_data(make_run(["clr"], ["flowers", "cars"]))["chance"] == [[0.1, 0.1]]


def test_an_answer_without_the_oracle_stands_beside_the_main_one(class_run):
    folder = class_run.manifest()
    er, clr = page_data(collect(folder, folder.read_manifest()))["methods"]
    assert (er["accuracy"], er["oracle"]) == (0.625, False)
    assert (er["other"]["accuracy"], er["other"]["oracle"]) == (0.875, True)
    # Two tasks have 40 bytes each and `centres` keeps 100, beside a backbone of 400 bytes.
    assert (clr["accuracy"], clr["oracle"], clr["other"]["oracle"]) == (0.625, False, True)
    # That is less than the backbone, and no axis of costs goes below zero.
    assert (clr["storage"], clr["other"]["storage"]) == (-55.0, 0.0)


def test_what_is_stored_by_kind(make_run):
    run = make_run(["clr"], ["flowers", "cars"])
    sizes = {"frozen_bytes": 1, "shared_bytes": 20, "task_bytes": 300, "memory_bytes": 4000, "replay_bytes": 1000}
    data = page_data(replace(run, parameters=run.parameters.assign(**sizes, head_parameters_per_task=5)))
    assert [kind["name"] for kind in data["kinds"]] == list(KINDS)
    # Two heads of 20 bytes are among the bytes of tasks.
    assert data["methods"][0]["stored"] == [1, 20, 260, 40, 1000, 3000]


def test_accuracies_have_four_digits_and_costs_six_that_count(make_run, with_accuracy):
    run = with_accuracy(make_run(["clr"], ["flowers"]), accuracy=0.123456)
    summary = run.summary.assign(stored_percent=0.0000123456789, normalized_compute=1234.56789)
    (clr,) = page_data(replace(run, summary=summary))["methods"]
    assert clr["matrix"] == [[0.1235]]
    assert (clr["accuracy"], clr["storage"], clr["compute"]) == (0.1235, 0.0000123457, 1234.57)


def test_a_failed_method_has_what_it_learned_and_no_cost(make_run):
    clr, er = page_data(make_run(["clr", "er"], ["flowers", "cars"], failed="er"))["methods"]
    assert (clr["learned"], er["learned"]) == (2, 1)
    assert len(er["average_accuracy"]["mean"]) == len(er["matrix"]) == 1
    assert [er[name] for name in ("accuracy", "interval", "storage", "compute")] == [None] * 4


def test_a_method_that_learned_nothing_is_left_out(make_run):
    run = make_run(["clr", "er"], ["flowers"], failed="er")
    run = results_of(run.path, run.manifest, run.accuracy.query("method != 'er'"), run.parameters, run.compute)
    assert [method["label"] for method in page_data(run)["methods"]] == ["clr"]


def test_methods_look_as_in_the_figures_but_for_black(make_run):
    sgd, joint, ewc = page_data(make_run(["sgd", "joint", "online-ewc"], ["flowers"]))["methods"]
    assert (sgd["colour"], sgd["dash"], sgd["marker"]) == ("#7F7F7F", [], "^")
    assert joint["colour"] == "var(--ink)"
    assert (ewc["colour"], ewc["dash"]) == ("#0072B2", [5, 1.5])


def test_over_several_orders_tasks_are_places(make_run):
    run = make_run(["clr"], ["flowers", "cars"])
    assert page_data(run)["tasks"] == ["1. flowers", "2. cars"]
    both = pd.concat([run.accuracy, run.accuracy.assign(order=1)])
    several = results_of(run.path, run.manifest, both, run.parameters, run.compute)
    assert page_data(several)["tasks"] == ["task 1", "task 2"]


def test_over_several_orders_the_first_curve_is_what_was_lost(worked, with_accuracy):
    assert page_data(worked)["drop"] is False
    data = page_data(with_accuracy(worked, order=worked.accuracy["seed"]))
    (clr,) = data["methods"]
    assert data["drop"] is True
    # 0.2 with seed 0 in order 0, nothing with seed 1 in order 1.
    assert clr["first_task_accuracy"] == {
        "mean": [0, 0.1],
        "lowest": [0, 0],
        "highest": [0, 0.2],
        "each": [[0, 0.2], [0, 0]],
    }
    assert clr["average_accuracy"]["mean"] == [0.6, 0.4]


def test_what_was_evaluated_before_it_was_learned_is_there(make_run):
    run = make_run(["clr"], ["flowers", "cars"])
    row = run.accuracy.iloc[0].to_dict() | {"task": 2, "accuracy": 0.25}
    accuracy = pd.concat([run.accuracy, pd.DataFrame([row])])
    (clr,) = page_data(results_of(run.path, run.manifest, accuracy, run.parameters, run.compute))["methods"]
    assert [len(row) for row in clr["matrix"]] == [2, 2]
    assert clr["matrix"][0][1] == 0.25


def test_it_is_json_without_nan(make_run):
    run = make_run(["clr", "er"], ["flowers", "cars"], failed="er")
    data = page_data(replace(run, summary=run.summary.assign(normalized_compute=np.nan)))
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert len(data["colours"]) == 101
    # viridis begins and ends so.
    assert (data["colours"][0], data["colours"][100]) == ("#440154", "#fde725")
