"""Files that hold anything are one kind of error, and what does not fit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.storage.json_files import Shape, misfit, read_json

SHAPE: Shape = {"settings": dict, "cells": [{"method": str, "seed": int}], "orders": [[int]]}
GOOD = {"settings": {"a": 1}, "cells": [{"method": "er", "seed": 0, "more": None}], "orders": [[1, 2]], "more": 3}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({}, None),
        ({"cells": []}, None),
        ({"settings": []}, "settings"),
        ({"cells": {}}, "cells"),
        ({"cells": [{"method": "er"}, 5]}, "cells[1]"),
        ({"cells": [{"method": "er", "seed": "0"}]}, "cells[0].seed"),
        ({"cells": [{"method": "er", "seed": True}]}, "cells[0].seed"),
        ({"orders": [[1], [2, None]]}, "orders[1][1]"),
        ({"orders": None}, "orders"),
    ],
)
def test_the_first_place_that_does_not_fit_is_named(change: dict[str, Any], place: str | None):
    assert misfit(GOOD | change, SHAPE) == place


def test_keys_may_be_missing():
    assert misfit({}, SHAPE) is None


@pytest.mark.parametrize("content", [None, [], 3, "text"])
def test_the_whole_may_be_something_else(content: Any):
    assert misfit(content, SHAPE) == ""


@pytest.mark.parametrize("content", [b"{", b"", b"[" * 100_000, b'{"a": ' * 100_000, b"9" * 10_000, b"\xff\xfe\x00"])
def test_whatever_is_no_json_is_one_kind_of_error(tmp_path: Path, content: bytes):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=r"\w") as caught:
        read_json(tmp_path / "file")
    assert "\n" not in str(caught.value)
