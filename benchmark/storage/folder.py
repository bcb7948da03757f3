"""The run folder: the places of its files, and how they are written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.files import MANIFEST, VanishedError, folder_name, refuse_foreign, write_atomically
from benchmark.storage.json_files import misfit, read_json
from benchmark.storage.manifest import SUCCEEDED, Manifest
from benchmark.storage.records import CellKey, record_path
from methods.errors import UserError
from methods.names import printable
from methods.paths import given_path

if TYPE_CHECKING:
    # Not at run time, because the command line uses this module before anything heavy is imported.
    import pandas as pd


def cell_name(cell: dict[str, Any], manifest: dict[str, Any]) -> str:
    """The text for one of the manifest's cells: "er, seed 0", with its order if the run has several."""
    name = f"{cell['method']}, seed {cell['seed']}"
    return f"{name}, order {cell['order']}" if len(manifest["orders"]) > 1 else name


_MANIFEST = {
    "settings": dict,
    "seeds": list,
    "orders": [[int]],
    "stream": {"spec": str, "fingerprint": str},
    "backbone": {"spec": str, "fingerprint": str, "parameters": int},
    "tasks": [{"task": int, "task_name": str, "sgd_flops": int, "backbone_inference_flops": int}],
    "cells": [{"method": str, "seed": int, "order": int, "status": str}],
    "reproduces": {
        "protocol": str,
        "targets": [{"row": str, "method": str, "answer": str, "metric": str, "value": float, "digits": int}],
    },
}


@dataclass(frozen=True)
class RunFolder:
    """One run's folder. See results/README.md for its files.

    Attributes:
        id: the id in the manifest of the run that goes on in it; None to accept any run.
    """

    path: Path
    id: str | None = None

    @property
    def manifest_path(self) -> Path:
        return self.path / MANIFEST

    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.manifest_path.is_file()

    def read_manifest(self) -> Manifest:
        """The manifest.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        try:
            manifest = read_json(self.manifest_path)
        except FileNotFoundError:
            raise UserError(f"{self.path} is not a run folder: it holds no manifest.json") from None
        except ValueError as error:
            raise UserError(
                f"{self.manifest_path} is damaged: {error}; put a copy of it back, or begin a run of another name"
            ) from error
        if not isinstance(manifest, dict) or not {"settings", "cells", "tasks"} <= manifest.keys():
            raise UserError(f"{self.manifest_path} is not the manifest of a run; give the folder of a run")
        wrong = misfit(manifest, _MANIFEST)
        if wrong is not None:
            raise UserError(
                f"{self.manifest_path} is damaged: {wrong} is not what a run writes; put a copy of it back, or begin a "
                "run of another name"
            )
        return Manifest(manifest)

    def check(self) -> None:
        """Check that the folder exists and still belongs to the run that goes on in it.

        Raises:
            VanishedError: it was removed, replaced, or cannot be reached.
        """
        if self.id is None:
            return
        try:
            found = read_json(self.manifest_path)
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict) or found.get("id") != self.id:
            raise VanishedError(
                f"{self.path} was removed or replaced while the run went on: it does not hold the manifest.json of "
                "this run any more; put the folder back, or give the same command to learn what is missing"
            )

    def check_cells(self, manifest: Manifest) -> None:
        """Check that the records of each succeeded cell exist.

        Raises:
            VanishedError: naming the first missing file.
            UserError: the run was kept without its cells.
        """
        if manifest.kept:
            raise UserError(
                f"{self.path} has the tables of a run and not its cells, which are needed here; repeat the run with "
                f"--config {self.path / 'config.toml'}, and give the folder of that run"
            )
        numbers = range(1, len(manifest["tasks"]) + 1)
        for cell in manifest["cells"]:
            if cell.get("status") == SUCCEEDED:
                self.check_records((cell["method"], cell["seed"], cell["order"]), numbers)

    def check_records(self, key: CellKey, numbers: Iterable[int]) -> None:
        """Check that a cell's folder holds the records of the tasks with these numbers.

        Raises:
            VanishedError: naming the first missing record.
        """
        for path in (record_path(self.cell(*key), number) for number in numbers):
            if not path.is_file():
                raise VanishedError(
                    f"{path} was there, and is missing; put it back, or give the command of the run again, which "
                    "learns what is missing"
                )

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest atomically."""
        write_atomically(self.manifest_path, (json.dumps(manifest, indent=1) + "\n").encode())

    def cell(self, method: str, seed: int, order: int) -> Path:
        """The folder of a cell."""
        return self.path / "cells" / folder_name(method) / _repetition(seed, order)

    def guesses(self, seed: int, order: int) -> Path:
        """The folder of the guesses of tasks from frozen features, which are the same for all methods."""
        return self.path / "task-inference" / _repetition(seed, order)

    def write_csv(self, name: str, frame: pd.DataFrame) -> None:
        """Write a table, whole; `read_table` reads it."""
        write_atomically(
            self.path / f"{name}.csv", printable_frame(frame).to_csv(index=False, lineterminator="\n").encode()
        )

    def write_text(self, name: str, text: str) -> None:
        """Write a text file atomically."""
        write_atomically(self.path / name, printable(text, keep="\n").encode())


def _repetition(seed: int, order: int) -> str:
    return f"seed-{seed}-order-{order}" if order else f"seed-{seed}"


def printable_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts do nothing but be read."""
    return frame.map(lambda value: printable(value) if isinstance(value, str) else value)


def open_run(path: Path) -> RunFolder:
    """The folder at `path` for a run that begins or resumes, made if needed.

    Raises:
        UserError: it cannot be written to, or holds files that are not a run's.
    """
    refuse_foreign(path, MANIFEST)
    open_folder(path)
    return RunFolder(path)


def open_folder(path: Path) -> None:
    """Make a folder if needed.

    Raises:
        UserError: it cannot be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out: {path} cannot be made: {error.strerror}") from error
    if not os.access(path, os.W_OK):
        raise UserError(f"--out: {path} cannot be written to; choose another folder with --out DIR")


def run_folder(command: str, run: str) -> Path:
    """The folder of a run, given by its path or by its name in results/.

    Raises:
        UserError: there is none.
    """
    path = given_path(command, run)
    if not path.exists() and (Path("results") / path).exists():
        path = Path("results") / path
    if not path.is_dir():
        raise UserError(f"{command}: there is no run folder {run}; give its path, or its name in results/")
    return path


def folder_to_write(out: str, name: str | None, what: str) -> Path:
    """`name` in `out`; without a name, `what` and the time, and a number if a run of the same second exists.

    Raises:
        UserError: the name cannot be a folder's.
    """
    parent = given_path("--out", out)
    if name is None:
        name = f"{what}-{datetime.now():%Y%m%d-%H%M%S}"
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        return next(parent / each for each in names if not (parent / each).exists())
    if not re.fullmatch(r"[\w.,=+-]+", name) or name in (".", ".."):
        raise UserError(f"--name {name}: write a folder's name of letters, digits and . , = + - _ only")
    return given_path("--name", parent / name)
