import re
import xml.etree.ElementTree as ElementTree

import pandas as pd
import pytest

from benchmark.report.page import write_page
from benchmark.report.tables import SUMMARY_COLUMNS

METHODS = ["clr", "<b>&\"sgd'", "er"]
PARAMETERS = [
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
COMPUTE = [
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


@pytest.fixture
def run():
    summary = pd.DataFrame({name: [0.5, 0.25, None] for name in SUMMARY_COLUMNS})
    summary["method"], summary["seeds"], summary["status"] = METHODS, [1, 1, 0], ["succeeded", "succeeded", "failed"]
    parameters = pd.DataFrame({"method": METHODS[:2], **{name: [3.0, 0.0] for name in PARAMETERS}})
    compute = pd.DataFrame({"method": METHODS[:2], **{name: [2.0, 1.0] for name in COMPUTE}})
    tasks = pd.DataFrame(
        {
            "task": [1, 2],
            "task_name": ["flowers", "cars & <vans>"],
            "classes": [10, 20],
            "train_images": [2560, 2560],
            "validation_images": [256, 256],
            "test_images": [256, 256],
            "image_size": [64, 64],
            "fingerprint": ["ab" * 32, "cd" * 32],
        }
    )
    manifest = {
        "command": "run --methods 'clr,<b>'",
        "seeds": [0, 1],
        "orders": [[1, 2]],
        "versions": {"torch": "2.6"},
        "cells": [
            {"method": "clr", "seed": 0, "order": 0, "status": "succeeded"},
            {"method": "er", "seed": 0, "order": 0, "status": "failed", "cause": "ValueError: loss <nan> at step 3"},
        ],
    }
    return {"summary": summary, "parameters": parameters, "compute": compute, "tasks": tasks, "manifest": manifest}


def page_of(path):
    text = path.read_text(encoding="utf-8")
    # The page is XML too, so that a tag left open or text left unescaped is an error here.
    return text, ElementTree.fromstring(text.partition("\n")[2])


def words(root):
    return [
        " ".join("".join(element.itertext()).split()) for element in root.iter() if element.tag in ("td", "th", "h1")
    ]


def test_page_is_well_formed_and_has_everything(tmp_path, run):
    text, root = page_of(write_page(tmp_path, title="A & <run>", **run))
    assert text.startswith("<!DOCTYPE html>\n")
    shown = words(root)
    assert {*METHODS, "A & <run>", "2. cars & <vans>", "run --methods 'clr,<b>'", "versions.torch", "0, 1"} <= set(
        shown
    )
    assert "ValueError: loss <nan> at step 3" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_page_tells_of_orders_only_where_there_are_several(tmp_path, run):
    text, root = page_of(write_page(tmp_path, title="run", **run))
    assert "3 methods on a stream of 2 tasks." in text
    assert "In the order they were learned." in text
    assert "Order" not in words(root)

    run["manifest"]["orders"] = [[1, 2], [2, 1]]
    run["manifest"]["cells"][1]["order"] = 1
    text, root = page_of(write_page(tmp_path, title="run", **run))
    assert "3 methods on a stream of 2 tasks in 2 orders." in text
    assert "In order 0; all orders are below, as a setting." in text
    shown = words(root)
    assert "[1, 2], [2, 1]" in shown
    failed = shown.index("Order")
    assert shown[failed - 2 : failed + 8] == [
        *("Method", "Seed", "Order", "Status", "Cause"),
        *("er", "0", "1", "failed", "ValueError: loss <nan> at step 3"),
    ]


def test_page_needs_nothing_from_outside(tmp_path, run):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "average_accuracy.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    text, root = page_of(write_page(tmp_path, title="run", **run))
    assert not re.search(r"https?://|@import|url\(|<script|<link", text)
    (image,) = root.iter("img")
    assert image.get("src").startswith("data:image/svg+xml;base64,")
    assert image.get("alt")


def test_page_without_failures_or_figures_has_no_such_sections(tmp_path, run):
    run["manifest"]["cells"].pop()
    _, root = page_of(write_page(tmp_path, title="run", **run))
    headings = [heading.text for heading in root.iter("h2")]
    assert headings == ["Summary", "Storage", "Compute", "Tasks", "Settings and provenance"]
