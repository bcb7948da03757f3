"""The jobs of a cluster that work on a run, so that a later process of the run knows of them too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.files import write_atomically
from benchmark.storage.json_files import misfit, read_json
from methods.errors import UserError

#: The folder in a run's folder with what is submitted, and with the logs of the jobs.
SUBMITTED = "slurm"

_FILE = "submitted.json"
_SHAPE = {"folder": str, "cluster": str, "jobs": [{"id": str, "name": str, "news": str}]}


@dataclass(frozen=True)
class Submitted:
    """A job that was submitted, and whose end nobody has seen.

    Attributes:
        id: the cluster's name for it.
        name: the run's name for what it learns.
        news: the name of the file in which it tells what happens.
    """

    id: str
    name: str
    news: str


def read_submitted(run: Path, cluster: str) -> list[Submitted]:
    """Return the jobs that an earlier process has submitted to a cluster for a run, if they may still work.

    A folder that was copied or moved has none: the jobs work at the old place.
    """
    try:
        found = read_json(run / SUBMITTED / _FILE)
    except (OSError, ValueError):
        return []
    if misfit(found, _SHAPE) is not None or found["folder"] != str(run.resolve()) or found["cluster"] != cluster:
        return []
    return [Submitted(job["id"], job["name"], job["news"]) for job in found["jobs"]]


def write_submitted(run: Path, cluster: str, jobs: Sequence[Submitted]) -> None:
    """Note the jobs that work on a run.

    Raises:
        StorageError: the file cannot be written.
    """
    path = run / SUBMITTED / _FILE
    if not jobs:
        path.unlink(missing_ok=True)
        return
    content = {"folder": str(run.resolve()), "cluster": cluster, "jobs": list(map(asdict, jobs))}
    write_atomically(path, json.dumps(content, indent=1).encode())


def check_submitted(run: Path, cluster: str | None) -> None:
    """Refuse to work on a run beside the jobs of Slurm, which may still wait or run.

    Args:
        run: the run's folder.
        cluster: where this process submits jobs; None if it submits none.

    Raises:
        UserError: there are such jobs, and this process would not go on with them.
    """
    jobs = read_submitted(run, "slurm")
    if jobs and cluster != "slurm":
        ids = " ".join(job.id for job in jobs)
        raise UserError(
            f"--name {run.name}: Slurm's jobs {ids} may still work on that run; give --executor slurm to go on with "
            f"them, or cancel them (scancel {ids}) and delete {run / SUBMITTED / _FILE}"
        )
