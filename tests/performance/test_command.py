from __future__ import annotations

import os
import sys
from pathlib import Path

from performance.command import run_command


def test_a_command_runs_where_it_should_and_all_it_says_is_kept(tmp_path: Path) -> None:
    script = "import os, sys; print(os.getcwd()); print(os.environ['MOOD'], file=sys.stderr); sys.exit(3)"
    ended = run_command([sys.executable, "-c", script], tmp_path, {**os.environ, "MOOD": "heiter é"})
    assert ended.status == 3
    assert sorted(ended.said.split("\n")) == sorted(["", str(tmp_path.resolve()), "heiter é"])
    assert ended.seconds > 0
