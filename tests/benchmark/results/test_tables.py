"""The run folder, and its tables against examples worked by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.results import schema, tables
from benchmark.results.run import collect
from benchmark.results.tables import accuracy_table, by_method, parameter_row
from benchmark.storage.folder import RunFolder, open_run
from benchmark.storage.manifest import Manifest
from benchmark.storage.records import read_records
from methods.errors import UserError


def test_columns_are_the_documented_ones():
    assert schema.ACCURACY_COLUMNS == ("method", "seed", "learned", "task", "task_name", "accuracy", "images")
    assert schema.SUMMARY_COLUMNS == (
        "method",
        "seeds",
        "status",
        "average_accuracy",
        "average_accuracy_ci95",
        "first_task_accuracy",
        "first_task_accuracy_ci95",
        "forgetting",
        "backward_transfer",
        "extra_parameters_percent",
        "normalized_compute",
        "normalized_seconds",
        "blocks",
        "first_task_drop",
        "first_task_drop_ci95",
        "stored_bytes",
        "stored_percent",
        "average_incremental_accuracy",
        "average_incremental_accuracy_ci95",
        "expected_calibration_error",
        "image_weighted_accuracy",
        "answer",
        "chance_level",
        "at_chance",
    )
    assert schema.ALL_ACCURACY_COLUMNS[-2:] == ("order", "answer")
    assert schema.INFERENCE_COLUMNS == (
        "method",
        "rule",
        "task_inference_accuracy",
        "task_inference_accuracy_ci95",
        "accuracy_with_oracle",
        "accuracy_with_oracle_ci95",
        "accuracy_inferred",
        "accuracy_inferred_ci95",
        "gap",
        "gap_ci95",
        "kept_bytes",
        "inference_flops_per_image",
        "normalized_inference",
        "evaluations",
        "frozen_evaluations",
    )
    assert schema.PARAMETER_COLUMNS == (
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
    )
    assert schema.COMPUTE_COLUMNS == (
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
        "training_spread_seconds",
    )
    assert schema.TASK_COLUMNS == (
        "task",
        "task_name",
        "classes",
        "train_images",
        "validation_images",
        "test_images",
        "image_size",
        "fingerprint",
    )
    assert schema.CLASS_COLUMNS == (
        "method",
        "seed",
        "order",
        "task",
        "task_name",
        "class",
        "class_name",
        "images",
        "recall",
        "precision",
        "f1",
    )


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("clr", "clr"),
        ("ewc:strength=500:lr=0.1", "ewc_strength=500_lr=0.1"),
        ('a<b>c:d"e/f\\g|h?i*j', "a_b_c_d_e_f_g_h_i_j"),
        ("../../etc", ".._.._etc"),
        ("x" * 300, "x" * 200),
    ],
)
def test_a_cells_folder_is_a_name_that_file_systems_take(label, folder):
    assert RunFolder(Path("run")).cell(label, 4, order=0) == Path("run") / "cells" / folder / "seed-4"


def test_a_cell_of_another_order_has_another_folder():
    assert RunFolder(Path("run")).cell("clr", 4, order=2) == Path("run") / "cells" / "clr" / "seed-4-order-2"


def sizes(shared: int, task: int, memory: int, heads: int, replay: int = 0, frozen: int = 0) -> dict[str, int]:
    return {"shared": shared, "task": task, "memory": memory, "heads": heads, "replay": replay, "frozen": frozen}


def after(before: dict[str, int], now: dict[str, int]) -> dict:
    return {"bytes_before": before, "bytes": now}


def test_extra_parameters_are_the_growth_from_the_first_task_on():
    """Each task adds 60 bytes and a head of 40; after the first, 400 bytes of Fisher information that stay."""
    empty = sizes(shared=1000, task=0, memory=0, heads=0)
    one = sizes(shared=1000, task=100, memory=400, heads=40)
    two = sizes(shared=1000, task=200, memory=400, heads=80)
    three = sizes(shared=1000, task=300, memory=400, heads=120, frozen=8)
    cell = [after(empty, one), after(one, two), after(two, three)]
    assert parameter_row("m", [cell], {"parameters": 250, "bytes": 1050}) == {
        "method": "m",
        "backbone_parameters": 250,
        "extra_parameters_per_task": 15,
        "extra_parameters_percent": 6,
        "head_parameters_per_task": 10,
        "frozen_bytes": 8,
        "shared_bytes": 1000,
        "task_bytes": 300,
        "memory_bytes": 400,
        "replay_bytes": 0,
        "state_bytes": 1708,
        "stored_bytes": 658,
        "stored_percent": pytest.approx(65800 / 1050),
    }


@pytest.mark.parametrize(
    ("state", "stored"),
    [
        # Of a backbone of 1000 bytes: referred to as a whole, with 60 a task; referred to but for 100 that each of two
        # tasks has anew; overwritten, with two heads; overwritten, with stored images; copied for each task.
        (sizes(shared=0, task=120, memory=0, heads=80, frozen=1000), 120),
        (sizes(shared=0, task=200, memory=0, heads=0, frozen=900), 100),
        (sizes(shared=1000, task=80, memory=0, heads=80), 80),
        (sizes(shared=1000, task=80, memory=1310, heads=80, replay=1310), 1390),
        (sizes(shared=0, task=2000, memory=0, heads=0), 1000),
    ],
)
def test_what_is_stored_beyond_the_backbone_is_all_of_the_state_but_it(state, stored):
    row = parameter_row("m", [[after(state, state), after(state, state)]], {"parameters": 240, "bytes": 1000})
    assert (row["stored_bytes"], row["stored_percent"]) == (stored, stored / 10)


def test_where_the_backbones_bytes_are_not_known_what_is_stored_beyond_them_is_not(tmp_path):
    state = sizes(shared=1000, task=80, memory=0, heads=80)
    row = parameter_row("m", [[after(state, state)]], {"parameters": 240})
    assert math.isnan(row["stored_bytes"])
    assert math.isnan(row["stored_percent"])


def test_of_a_single_task_the_growth_is_from_the_start():
    empty, one = sizes(shared=1000, task=0, memory=0, heads=0), sizes(shared=1000, task=100, memory=400, heads=40)
    assert parameter_row("m", [[after(empty, one)]], {"parameters": 250})["extra_parameters_per_task"] == 460 / 4


def test_stored_samples_are_reported_beside_the_extra_parameters():
    empty = sizes(shared=1000, task=0, memory=0, heads=0)
    one = sizes(shared=1000, task=40, memory=508, heads=40, replay=500)
    two = sizes(shared=1000, task=80, memory=1016, heads=80, replay=1000)
    row = parameter_row("er", [[after(empty, one), after(one, two)]], {"parameters": 250})
    assert row["extra_parameters_per_task"] == 2, "8 bytes a task that are neither heads nor samples"
    assert (row["memory_bytes"], row["replay_bytes"], row["head_parameters_per_task"]) == (1016, 1000, 10)


def test_masks_of_bits_count_as_parts_of_a_parameter():
    empty, one, two = (sizes(shared=0, task=size, memory=0, heads=0) for size in (0, 3, 6))
    row = parameter_row("m", [[after(empty, one), after(one, two)]], {"parameters": 300})
    assert row["extra_parameters_per_task"] == 0.75
    assert row["extra_parameters_percent"] == 0.25


def test_seeds_are_averaged():
    empty = sizes(shared=0, task=0, memory=0, heads=0)
    cells = [[after(empty, sizes(shared=0, task=size, memory=0, heads=0))] for size in (40, 80)]
    row = parameter_row("m", cells, {"parameters": 100})
    assert (row["extra_parameters_per_task"], row["task_bytes"]) == (15, 60)


def cost(flops: int, seconds: float, inference: int, evaluations: int, peak: int | None = 100) -> dict:
    return {
        "training_flops": flops,
        "training_seconds": seconds,
        "inference_flops_per_image": inference,
        "evaluation_seconds": 0.5,
        "evaluations": evaluations,
        "peak_memory_bytes": peak,
    }


MANIFEST: dict[str, Any] = {
    "tasks": [
        {"task_name": "digits", "sgd_flops": 600, "backbone_inference_flops": 8},
        {"task_name": "shapes", "sgd_flops": 400, "backbone_inference_flops": 10},
    ],
    "orders": [[1, 2]],
    "cells": [],
}


def compute_table(finished: dict, manifest: dict[str, Any] = MANIFEST, labels: list[str] | None = None) -> pd.DataFrame:
    """The table of a run in which the methods of `labels` began, without any those that finished."""
    began = labels or list(dict.fromkeys(label for label, _, _ in finished))
    cells = [{"method": label} for label in began]
    return tables.compute_table(by_method(finished), Manifest(manifest | {"cells": cells}))


def test_compute_is_summed_over_tasks_and_set_against_fine_tuning():
    finished = {
        ("sgd", 0, 0): [cost(600, 3.0, 8, 1), cost(400, 1.0, 10, 2, peak=700)],
        ("clr", 0, 0): [cost(300, 2.0, 9, 1), cost(200, 1.0, 12, 1)],
        ("clr", 1, 0): [cost(300, 4.0, 9, 1), cost(300, 3.0, 12, 1, peak=None)],
    }
    table = compute_table(finished)
    assert tuple(table.columns) == schema.COMPUTE_COLUMNS
    assert math.isnan(table["training_spread_seconds"][0]), "an older version learned it"
    assert table.iloc[0].drop("training_spread_seconds").to_dict() == {
        "method": "sgd",
        "training_flops": 1000,
        "normalized_compute": 1.0,
        "training_seconds": 4.0,
        "normalized_seconds": 1.0,
        "inference_flops_per_image": 10,
        "normalized_inference": 1.0,
        "evaluation_seconds": 1.0,
        "evaluations": 3,
        "peak_memory_bytes": 700,
        "features_cached": False,
    }
    clr = table.iloc[1]
    assert (clr["training_flops"], clr["normalized_compute"]) == (550, 0.55)
    assert (clr["training_seconds"], clr["normalized_seconds"]) == (5.0, 1.25)
    assert (clr["inference_flops_per_image"], clr["normalized_inference"]) == (12, 1.2)
    assert math.isnan(clr["peak_memory_bytes"]), "one of its numbers is not known"
    assert len(table) == 2


@pytest.mark.parametrize("cached", [True, False])
def test_compute_says_where_features_were_computed_once(cached, tmp_path):
    after = [cost(300, 2.0, 9, 1) | {"features_cached": cached}] * 2
    table = compute_table({("linear-probe", seed, 0): after for seed in (0, 1)})
    assert table["features_cached"].tolist() == [cached]
    RunFolder(tmp_path).write_csv("compute", table)
    assert (tmp_path / "compute.csv").read_text().endswith(f",{cached},\n")


def test_the_spread_of_seconds_is_summed_over_tasks_and_known_only_with_that_of_each():
    def spread(*tasks: float | None) -> list[dict]:
        return [cost(300, 2.0, 9, 1) | {"training_spread_seconds": seconds} for seconds in tasks]

    cells = {("clr", 0, 0): spread(0.5, 0.25), ("clr", 1, 0): spread(0.0, 0.25), ("er", 0, 0): spread(0.5, None)}
    table = compute_table(cells)
    assert table["training_spread_seconds"][0] == 0.5
    assert math.isnan(table["training_spread_seconds"][1])


def test_a_method_that_an_older_version_learned_in_part_cached_no_features():
    after = [cost(300, 2.0, 9, 1), cost(200, 1.0, 12, 1) | {"features_cached": True}]
    assert compute_table({("linear-probe", 0, 0): after})["features_cached"].tolist() == [False]


def test_without_fine_tuning_in_the_run_compute_is_normalised_all_the_same_but_seconds_are_not():
    table = compute_table({("clr", 0, 0): [cost(300, 2.0, 9, 1), cost(200, 1.0, 12, 1)]})
    assert table["normalized_compute"][0] == 0.5
    assert math.isnan(table["normalized_seconds"][0])


@pytest.mark.parametrize("label", ["sgd:lr=0.01", "sgd:lr=0.01:momentum=0.9", "sgd (epochs=16)"])
def test_seconds_are_over_those_of_fine_tuning_whatever_its_options(label):
    finished = {
        ("clr", 0, 0): [cost(300, 2.0, 9, 1), cost(200, 1.0, 12, 1)],
        (label, 0, 0): [cost(600, 4.0, 8, 1), cost(400, 2.0, 10, 2)],
        (label, 1, 0): [cost(600, 4.0, 8, 1), cost(400, 8.0, 10, 2)],
    }
    assert compute_table(finished)["normalized_seconds"].tolist() == [3 / 9, 1.0]


def test_seconds_of_a_method_that_did_not_finish_are_no_unit():
    table = compute_table({("clr", 0, 0): [cost(300, 2.0, 9, 1), cost(200, 1.0, 12, 1)]}, labels=["sgd", "clr"])
    assert table["method"].tolist() == ["clr"]
    assert math.isnan(table["normalized_seconds"][0])


def test_inference_is_set_against_the_backbone_on_the_task_that_each_order_ends_with():
    """The order 2, 1 ends with the task on which the bare backbone takes 8; over both orders it takes 9."""
    both = {
        ("clr", 0, 0): [cost(300, 2.0, 9, 1), cost(200, 1.0, 12, 1)],
        ("clr", 0, 1): [cost(200, 1.0, 12, 1), cost(300, 2.0, 9, 1)],
    }
    manifest = MANIFEST | {"orders": [[1, 2], [2, 1]]}
    for cells, expected in ((both, 10.5 / 9), (dict(list(both.items())[1:]), 9 / 8)):
        table = compute_table(cells, manifest)
        assert table["normalized_inference"].tolist() == [expected]
        assert table["normalized_compute"].tolist() == [0.5]


def evaluated(*accuracies: float) -> list[dict]:
    return [{"task": task, "accuracy": value, "images": 10 * task} for task, value in enumerate(accuracies, 1)]


def test_accuracy_has_a_row_for_each_evaluation():
    records = {
        ("clr", 0, 0): [
            {"learned": 1, "evaluated": evaluated(0.5)},
            {"learned": 2, "evaluated": evaluated(0.5, 0.75)},
        ],
        ("er", 3, 0): [{"learned": 1, "evaluated": evaluated(0.25)}],
        ("er", 4, 0): [],
    }
    table = accuracy_table(records, Manifest(MANIFEST))
    assert tuple(table.columns) == schema.ALL_ACCURACY_COLUMNS
    assert table.to_numpy().tolist() == [
        ["clr", 0, 1, 1, "digits", 0.5, 10, 0, "task"],
        ["clr", 0, 2, 1, "digits", 0.5, 10, 0, "task"],
        ["clr", 0, 2, 2, "shapes", 0.75, 20, 0, "task"],
        ["er", 3, 1, 1, "digits", 0.25, 10, 0, "task"],
    ]


def test_over_several_orders_a_task_is_a_place_and_its_name_says_which():
    after = [{"learned": 1, "evaluated": evaluated(0.5)}, {"learned": 2, "evaluated": evaluated(0.5, 0.75)}]
    records = {("clr", 0, 0): after[:1], ("clr", 0, 1): after}
    table = accuracy_table(records, Manifest(MANIFEST | {"orders": [[1, 2], [2, 1]]}))
    assert tuple(table.columns) == schema.ALL_ACCURACY_COLUMNS
    assert table.to_numpy().tolist() == [
        ["clr", 0, 1, 1, "digits", 0.5, 10, 0, "task"],
        ["clr", 0, 1, 1, "shapes", 0.5, 10, 1, "task"],
        ["clr", 0, 2, 1, "shapes", 0.5, 10, 1, "task"],
        ["clr", 0, 2, 2, "digits", 0.75, 20, 1, "task"],
    ]


def test_a_methods_status():
    cells = {
        "good": ["succeeded", "succeeded"],
        "bad": ["succeeded", "failed"],
        "worse": ["failed", "pending"],
        "wild": ["succeeded", "diverged"],
        "wildest": ["diverged", "failed"],
        "begun": ["succeeded", "running"],
        "waiting": ["pending"],
    }
    manifest = {
        "cells": [{"method": m, "seed": s, "status": v} for m, all_ in cells.items() for s, v in enumerate(all_)]
    }
    assert Manifest(manifest).statuses == {
        "good": "succeeded",
        "bad": "failed",
        "worse": "failed",
        "wild": "diverged",
        "wildest": "failed",
        "begun": "incomplete",
        "waiting": "incomplete",
    }


def record(learned: int) -> dict:
    growing = {part: sizes(0, 40 * count, 0, 0) for part, count in (("bytes_before", learned - 1), ("bytes", learned))}
    return {"learned": learned, "evaluated": evaluated(*[0.5] * learned)} | growing | cost(100, 1.0, 10, 1)


def test_only_cells_that_finished_count_for_the_costs(tmp_path):
    run = RunFolder(tmp_path)
    tasks = [
        dict.fromkeys(schema.TASK_COLUMNS, 0) | {"task_name": name, "sgd_flops": 100, "backbone_inference_flops": 10}
        for name in ("a", "b")
    ]
    cells = (("clr", 0, 0, 2), ("clr", 0, 1, 1), ("clr", 1, 0, 1), ("clr", 1, 1, 2), ("er", 0, 0, 1))
    for method, seed, order, learned in cells:
        folder = run.cell(method, seed, order)
        folder.mkdir(parents=True)
        for number in range(1, learned + 1):
            (folder / f"after-{number}.json").write_text(json.dumps(record(number)))
    manifest = {
        "tasks": tasks,
        "orders": [[1, 2], [2, 1]],
        "backbone": {"parameters": 100},
        "cells": [{"method": m, "seed": seed, "order": order, "status": "running"} for m, seed, order, _ in cells],
        "reference": "clr",
        "bounds": [],
    }
    results = collect(run, Manifest(manifest))
    assert len(results.accuracy) == 3 + 1 + 1 + 3 + 1
    assert results.parameters["method"].tolist() == results.compute["method"].tolist() == ["clr"]
    assert results.parameters["extra_parameters_per_task"].tolist() == [10]
    assert results.compute["normalized_compute"].tolist() == [1.0]
    assert tuple(results.tasks.columns) == schema.TASK_COLUMNS


def test_records_end_at_the_first_that_is_missing_or_not_readable(tmp_path):
    assert read_records(tmp_path) == []
    for number in (1, 2, 4):
        (tmp_path / f"after-{number}.json").write_text(json.dumps({"learned": number}))
    assert read_records(tmp_path) == [{"learned": 1}, {"learned": 2}]
    (tmp_path / "after-2.json").write_text("{")
    assert read_records(tmp_path) == [{"learned": 1}]


def test_the_manifest_is_read_as_it_was_written(tmp_path):
    run = open_run(tmp_path / "new" / "run")
    assert not run.exists()
    cells = [{"method": "clr", "seed": 0, "order": 0}]
    settings = {"orders": 1, "augment": ["flip"], "precision": "bf16", "compile": True}
    manifest = {"settings": settings, "orders": [[1]], "cells": cells, "tasks": [{}], "cause": "wörds\n"}
    manifest["reference"] = "all"
    run.write_manifest(manifest)
    assert run.exists()
    assert run.read_manifest() == manifest


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is not a run folder: it holds no manifest.json"),
        ("{", "manifest.json is damaged: "),
        ("", "manifest.json is damaged: "),
        ("[" * 100_000, "manifest.json is damaged: it is nested too deeply; put a copy"),
        (
            '{"settings": [], "cells": [], "tasks": []}',
            "manifest.json is damaged: settings is not what a run writes;",
        ),
        ('{"settings": {}, "cells": 5, "tasks": []}', "manifest.json is damaged: cells is not what"),
        ('{"settings": {}, "cells": [{"method": "er", "seed": "0"}], "tasks": []}', r"damaged: cells\[0\].seed is not"),
        ('{"settings": {}, "cells": [], "tasks": [null]}', r"damaged: tasks\[0\] is not"),
        ('{"settings": {}, "cells": [], "tasks": [], "backbone": 3}', "damaged: backbone is not"),
        ("[]", "manifest.json is not the manifest of a run"),
        ('{"settings": {}}', "manifest.json is not the manifest of a run"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path, content, says):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=says) as caught:
        RunFolder(tmp_path).read_manifest()
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^--out: .*file.run cannot be made: Not a directory$"):
        open_run(tmp_path / "file" / "run")


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UserError, match="cannot be written to; choose another folder with --out DIR"):
        open_run(tmp_path)


def test_a_table_is_the_same_bytes_everywhere(tmp_path):
    RunFolder(tmp_path).write_csv("t", pd.DataFrame({"method": ["a,b", "c"], "x": [0.1, float("nan")], "n": [1, 2]}))
    assert (tmp_path / "t.csv").read_bytes() == b'method,x,n\n"a,b",0.1,1\nc,,2\n'
