"""The jobs of a cluster that an earlier process has submitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.storage.submitted import Submitted, check_submitted, read_submitted, write_submitted
from methods.errors import UserError

JOBS = [Submitted("7_0", "er, seed 0", "a.jsonl"), Submitted("8", "clr, seed 0", "b.jsonl")]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run" / "slurm").mkdir(parents=True)
    return tmp_path / "run"


def test_jobs_are_known_where_they_were_submitted(run: Path) -> None:
    assert read_submitted(run, "slurm") == []
    write_submitted(run, "slurm", JOBS)
    assert read_submitted(run, "slurm") == JOBS
    assert read_submitted(run, "local") == []
    # In a copy of the folder they do not work.
    run.rename(run.with_name("moved"))
    assert read_submitted(run.with_name("moved"), "slurm") == []


def test_without_jobs_there_is_no_file(run: Path) -> None:
    write_submitted(run, "slurm", JOBS)
    write_submitted(run, "slurm", [])
    write_submitted(run, "slurm", [])
    assert list((run / "slurm").iterdir()) == []


@pytest.mark.parametrize("cluster", [None, "local", "debug"])
def test_nobody_works_beside_jobs_of_slurm(run: Path, cluster: str | None) -> None:
    write_submitted(run, "local", JOBS)
    check_submitted(run, cluster)
    write_submitted(run, "slurm", JOBS)
    check_submitted(run, "slurm")
    with pytest.raises(UserError) as caught:
        check_submitted(run, cluster)
    assert str(caught.value) == (
        "--name run: Slurm's jobs 7_0 8 may still work on that run; give --executor slurm to go on with them, or "
        f"cancel them (scancel 7_0 8) and delete {run / 'slurm' / 'submitted.json'}"
    )
