"""Jobs on a Ray cluster that is started here: the same files as without it, and clear words about what is missing."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.cli import main
from benchmark.config import Execution, Settings
from benchmark.executors import choice
from benchmark.executors.base import Plan
from methods.errors import UserError

ray_cluster = pytest.importorskip("benchmark.executors.ray_cluster", reason="Ray is not installed")
ray = ray_cluster.ray


@pytest.fixture(autouse=True)
def _no_cluster_is_left() -> Iterator[None]:
    yield
    ray.shutdown()


@pytest.mark.usefixtures("quick_report")
def test_the_bytes_are_those_of_one_process_even_if_a_worker_is_killed(
    place: Any, exact: Callable, states: Callable, capfd: pytest.CaptureFixture[str]
):
    def run(name: str, *options: str) -> str:
        """What the user sees."""
        assert main(["run", *place.options, "mortal,er,clr", "--name", name, *options]) == 0
        out, err = capfd.readouterr()
        assert err == ""
        return out.replace(name, "NAME")

    expected = run("alone", "--jobs", "1")
    place.tell("die")
    # One for each of the workers.
    torch.set_num_threads(2)
    assert run("cluster", "--jobs", "2", "--executor", "ray") == expected
    assert not (place.path / "die").exists()
    assert exact(place.path / "cluster") == exact(place.path / "alone")
    assert states(place.path / "cluster") == states(place.path / "alone")


def test_every_node_has_to_reach_the_storage(tmp_path: Path):
    assert ray_cluster.connect(None, threads=2) == [ray_cluster.Node(cpus=2, gpus=torch.cuda.device_count())]
    ray_cluster.check_storage(tmp_path, tmp_path)
    with pytest.raises(UserError) as caught:
        ray_cluster.check_storage(tmp_path, tmp_path / "elsewhere")
    name = ray.nodes()[0]["NodeName"]
    assert str(caught.value) == (
        f"--executor ray: node {name} does not reach {tmp_path / 'elsewhere'}; work, and write with --out, on storage "
        "that all nodes share"
    )
    assert list(tmp_path.iterdir()) == []
    # What a node says that does not see the mark, or where there is no such folder.
    assert ray_cluster._unreached(tmp_path / "mark", tmp_path) == tmp_path
    assert ray_cluster._unreached(tmp_path / "elsewhere" / "mark", tmp_path) == tmp_path / "elsewhere"


def test_nobody_answers(place: Any, capfd: pytest.CaptureFixture[str]):
    with socket.socket() as unheard:
        # Bound but not listening: connections are refused.
        unheard.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unheard.getsockname()[1]}"
        status = main(["run", *place.options, "sgd", "--name", "run", "--executor", "ray", "--address", address])
    assert status == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err == (
        f"error: --address {address}: no Ray cluster can be joined there (ConnectionRefusedError: [Errno 111] "
        "Connection refused); give the HOST:PORT that `ray start --head` told, with RAY_AUTH_MODE=token if it wants a "
        "token, or, on one of its nodes, auto\n"
    )
    assert not (place.path / "run").exists()


def test_a_job_that_ray_gives_up_has_a_cause(monkeypatch: pytest.MonkeyPatch):
    def lost(reference: object) -> None:
        raise ray.exceptions.WorkerCrashedError

    monkeypatch.setattr(ray_cluster.ray, "get", lost)
    failure = ray_cluster._outcome(None)
    assert failure is not None
    assert failure.cause.startswith(
        "Ray gave it up, for 4 processes that learned it died, by a crash as a segmentation fault, or killed as the "
        "system does when memory runs out: WorkerCrashedError: The worker died unexpectedly"
    )


@pytest.mark.parametrize(
    ("nodes", "jobs", "expected"),
    [
        # (workers, threads of each, CPUs that Ray sets aside for each)
        ([8], 2, (2, 4, 4)),
        ([8], None, (8, 1, 1)),
        ([4, 4, 2], 2, (2, 4, 4)),
        ([4, 4, 2], 3, (3, 2, 2)),
        ([2], 4, (4, 1, 0.5)),
        ([0, 4], 2, (2, 2, 2)),
    ],
)
def test_what_jobs_take_of_a_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nodes: list[int], jobs: int | None, expected: tuple
):
    cluster = [ray_cluster.Node(cpus, 0) for cpus in nodes]
    monkeypatch.setattr(ray_cluster, "connect", lambda address, threads: cluster)
    monkeypatch.setattr(ray_cluster, "check_storage", lambda folder, directory: None)
    plan = Plan(Settings(methods=("sgd",)), (), tmp_path, tmp_path, [[1]], keep_states=False, verify=False)
    with pytest.raises(UserError, match=r"^--executor ray: no node has a GPU; add --device cpu$"):
        choice._on_ray(Execution(jobs=jobs, executor="ray"), plan, 20, share=0.5)
    executor, workers = choice._on_ray(Execution(jobs=jobs, executor="ray"), plan, 20, share=0.0)
    assert isinstance(executor, ray_cluster.RayExecutor)
    assert (workers, executor.plan.threads, executor.cpus) == expected
    assert executor.workers == workers
