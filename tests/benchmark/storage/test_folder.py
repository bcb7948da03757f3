"""The folder of a run."""

from __future__ import annotations

import pytest

from benchmark.files import VanishedError
from benchmark.storage.folder import RunFolder


@pytest.mark.parametrize("content", ["[" * 100_000, "{", "[]", '{"id": "of another"}'])
def test_a_manifest_that_was_replaced_while_the_run_goes_on_is_noticed(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(VanishedError, match="was removed or replaced while the run went on"):
        RunFolder(tmp_path, "of this run").check()
