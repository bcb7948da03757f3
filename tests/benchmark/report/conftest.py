"""A made-up run with everything that a page has to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.results.run import Results, results_of
from benchmark.results.schema import COMPUTE_COLUMNS, PARAMETER_COLUMNS
from benchmark.storage.manifest import Manifest


def made_up_run(methods: Sequence[str], tasks: Sequence[str], seeds: int = 1, failed: str | None = None) -> Results:
    """Random accuracies of `methods`, of which `failed` learned the first task only."""
    random = np.random.default_rng(0)
    lengths = {method: 1 if method == failed else len(tasks) for method in methods}
    accuracy = pd.DataFrame(
        [
            (method, seed, i, j, tasks[j - 1], random.uniform(0.2, 0.9), 100, 0)
            for method in methods
            for seed in range(seeds)
            for i in range(1, lengths[method] + 1)
            for j in range(1, i + 1)
        ],
        columns=["method", "seed", "learned", "task", "task_name", "accuracy", "images", "order"],
    )
    finished = [method for method in methods if method != failed]
    costs = np.arange(len(finished))
    parameters = pd.DataFrame(dict.fromkeys(PARAMETER_COLUMNS, 1000 * costs)).assign(method=finished)
    # Heads are a part of what tasks store.
    parameters["head_parameters_per_task"] = costs
    # Nothing, 0.1, 1, 10, nothing, ...
    parameters["extra_parameters_percent"] = [0.0 if k % 4 == 0 else 10.0 ** (k % 4 - 2) for k in costs]
    compute = pd.DataFrame(dict.fromkeys(COMPUTE_COLUMNS, 1.0 + costs)).assign(method=finished)
    compute["features_cached"] = False
    statuses = {method: "failed" if method == failed else "succeeded" for method in methods}
    sizes = {"classes": 10, "train_images": 2560, "validation_images": 256, "test_images": 300, "image_size": 64}
    manifest = {
        "status": "succeeded",
        "command": ["run", "--methods", ",".join(methods)],
        "settings": {"epochs": 8, "lr": None, "augment": ["flip", "crop"]},
        "seeds": list(range(seeds)),
        "orders": [list(range(1, len(tasks) + 1))],
        "stream": {"spec": "folder:pictures", "fingerprint": "12" * 32},
        "backbone": {"spec": "resnet18", "fingerprint": "34" * 32},
        "tasks": [
            {"task": number, "task_name": name, **sizes, "fingerprint": "ab" * 32, "sgd_flops": 123456}
            for number, name in enumerate(tasks, 1)
        ],
        "reference": "all",
        "bounds": [],
        "cells": [
            {"method": method, "seed": seed, "order": 0, "status": statuses[method], "cause": None}
            for method in methods
            for seed in range(seeds)
        ],
    }
    for cell in manifest["cells"]:
        if cell["status"] == "failed":
            cell["cause"] = "ValueError: the loss is <nan> & more"
            cell["traceback"] = 'Traceback:\n  File "loss.py", line 3\nValueError: the loss is <nan> & more'
    return results_of(Path("nowhere"), Manifest(manifest), accuracy, parameters, compute)


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Results]:
    """make_run(methods, tasks, seeds=1, failed=None) -> results of a run without a folder."""
    return made_up_run


@pytest.fixture(scope="session")
def with_accuracy() -> Callable[..., Results]:
    """with_accuracy(run, **columns) -> the results if these columns of accuracy.csv were others."""

    def changed(run: Results, **columns: object) -> Results:
        return results_of(run.path, run.manifest, run.accuracy.assign(**columns), run.parameters, run.compute)

    return changed
