"""Runs a command in a process of its own. Nothing heavy is imported here, see observed.py."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Attributes:
        status: its exit status.
        said: what it wrote, errors included.
        seconds: from its start to its end.
    """

    status: int
    said: str
    seconds: float


def run_command(command: Sequence[str], folder: Path | None = None, env: Mapping[str, str] | None = None) -> Ended:
    """Run a command and wait for its end.

    Args:
        folder: where it runs; here if None.
        env: its environment variables; this process's if None.
    """
    with tempfile.TemporaryDirectory() as temporary:
        said = Path(temporary, "said.txt")
        began = time.perf_counter()
        # Not to a pipe: the server that forks workers keeps it open for a while after the command has ended.
        with said.open("w") as stream:
            status = subprocess.run(command, cwd=folder, env=env, stdout=stream, stderr=subprocess.STDOUT).returncode
        seconds = time.perf_counter() - began
        return Ended(status, said.read_text(encoding="utf-8", errors="replace"), seconds)
