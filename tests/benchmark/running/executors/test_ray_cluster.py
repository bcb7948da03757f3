"""Jobs on a Ray cluster that is started here: the same files as without it, and clear words about what is missing."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.cli.main import main
from benchmark.config import Execution, Settings
from benchmark.running.executors import choice
from benchmark.running.executors.plan import Plan
from methods.errors import UserError

ray_cluster = pytest.importorskip("benchmark.running.executors.ray_cluster", reason="Ray is not installed")
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


def listening(pids: set[int]) -> set[str]:
    """The addresses at which these processes listen for TCP, as Linux writes them: bytes of 4, in hexadecimal."""
    sockets = set()
    for pid in pids:
        with suppress(OSError):
            sockets |= {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].partition(":")[0])
    return found


def family(pid: int) -> set[int]:
    """A process and all that it has started."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return {pid}.union(*(family(int(child)) for path in children for child in path.read_text().split()))


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="only Linux tells who listens where")
def test_nobody_else_reaches_a_cluster_that_is_started_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # With a folder of temporary files in which there can be no sockets.
    long = tmp_path / (200 * "x")
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", None)
    ray_cluster.connect(None, threads=1)
    worker = ray.get(ray.remote(num_cpus=1)(lambda: os.getpid()).remote())
    processes = family(os.getpid())
    assert worker in processes
    addresses = listening(processes)
    ray_cluster._knock(ray.get_runtime_context().gcs_address)
    # 127.0.0.1, in IPv4 and in IPv6.
    assert "0000000000000000FFFF00000100007F" in addresses
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}


def answered(*, says: bytes | None) -> str:
    """How a command ends that is told the address of a process that says this, or never anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                if says is not None:
                    connection.sendall(says)
                # Until the other side goes away.
                while connection.recv(1000):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(UserError) as caught:
            ray_cluster.connect(f"127.0.0.1:{server.getsockname()[1]}", threads=1)
        thread.join()
    assert "\n" not in str(caught.value)
    return str(caught.value).partition("no Ray cluster can be joined there ")[2]


def test_what_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    assert ray_cluster._ANSWER == 30
    monkeypatch.setattr(ray_cluster, "_ANSWER", 0.1)
    assert answered(says=None).startswith(
        "(TimeoutError: what listens there has not answered for 0.1 s); give the HOST:"
    )


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b"\0"])
def test_what_is_no_ray_is_told_at_once(says: bytes):
    assert answered(says=says).startswith(
        "(ConnectionError: what listens there is no head node of Ray); give the HOST:"
    )


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
