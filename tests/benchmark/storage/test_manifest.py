"""manifest.json as a record."""

from __future__ import annotations

import json

import pytest

from benchmark.storage.manifest import Manifest
from methods.errors import UserError


def test_it_is_the_file_and_names_what_is_read_often():
    content = {
        "cells": [
            {"method": "er", "seed": 4, "order": 0, "status": "succeeded"},
            {"method": "clr", "seed": 4, "order": 1, "status": "running"},
            {"method": "er", "seed": 4, "order": 1, "status": "diverged"},
        ],
        "stream": {"spec": "mini"},
        "backbone": {"spec": "resnet18"},
    }
    manifest = Manifest(content)
    assert manifest == content
    assert json.loads(json.dumps(manifest)) == content
    assert manifest.labels == ["er", "clr"]
    assert manifest.statuses == {"er": "diverged", "clr": "incomplete"}
    assert manifest.keys_of_cells == [("er", 4, 0), ("clr", 4, 1), ("er", 4, 1)]
    assert manifest.title == "mini on resnet18"
    assert manifest.budgets == {}
    assert manifest.comparable_seconds


@pytest.mark.parametrize("key", ["reference", "bounds", "settings"])
def test_what_is_not_there_is_a_sentence(key):
    with pytest.raises(UserError, match=f"^the run's manifest.json has no entry '{key}': an older version"):
        getattr(Manifest(cells=[]), key)
    assert Manifest().get(key) is None
