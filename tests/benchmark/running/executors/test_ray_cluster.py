"""Jobs on a Ray cluster that is started here: the same files as without it, and clear words about what is missing."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmark.cli.main import main
from benchmark.config import Execution, Settings
from benchmark.machine import gpus
from benchmark.machine.gpus import Gpu
from benchmark.planning.preparation import Prepared, prepare_run
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
    place: Any,
    exact: Callable,
    states: Callable,
    capfd: pytest.CaptureFixture[str],
    without_tasks: Callable[[str], str],
):
    def run(name: str, *options: str) -> str:
        """What the user sees."""
        # So that tables say the same of cells that ran side by side.
        command = ["run", *place.options, "mortal,wrong,large,clr", "--seconds", "--name", name, *options]
        assert main(command) == 0
        out, err = capfd.readouterr()
        assert without_tasks(err) == ""
        return out.replace(name, "NAME")

    expected = run("alone", "--jobs", "1")
    # One worker dies, one loses its GPU, and one has too little memory there.
    for word in ("die", "assert", "fill"):
        place.tell(word)
    # One for each of the workers.
    torch.set_num_threads(2)
    assert run("cluster", "--jobs", "2", "--executor", "ray") == expected
    assert not {"die", "assert", "fill"} & {path.name for path in place.path.iterdir()}
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
    # A node that refuses says why, and a process of its own tells which GPUs it has.
    (node,) = ray.nodes()
    with pytest.raises(UserError) as caught:
        list(ray_cluster._answers([node], ray_cluster._describe, "cpu", "tf32"))
    assert str(caught.value) == (
        f"--executor ray: on node {name}, --precision tf32: this run computes on the CPU, and only GPUs have TF32; use "
        "--precision fp32, or a GPU"
    )
    ((_, (here, warned)),) = ray_cluster._answers([node], ray_cluster._describe, "cuda", "fp32")
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    assert (here["hardware"]["gpus"], warned) == (names, ())
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


@pytest.mark.parametrize(
    ("gpus", "alone", "expected"),
    [
        # (CPUs and GPUs that Ray sets aside, the share of a GPU's memory)
        (0.25, False, (2, 0.25, 0.25)),
        (0.25, True, (2, 1, 1.0)),
        (0.0, False, (2, 0, 0.0)),
        (0.0, True, (2, 0, 0.0)),
    ],
)
def test_a_worker_keeps_its_share_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpus: float, alone: bool, expected: tuple
):
    class Ray:
        put = staticmethod(lambda plan: plan)

        @staticmethod
        def remote(num_cpus: float, num_gpus: float) -> Callable:
            def of(cls: type) -> Any:
                return SimpleNamespace(remote=lambda plan, told: (num_cpus, num_gpus, plan.share))

            return of

    monkeypatch.setattr(ray_cluster, "ray", Ray)
    plan = Plan(Settings(methods=("sgd",)), (), tmp_path, tmp_path, [[1]], keep_states=False, verify=False, share=gpus)
    actors = ray_cluster._Actors(ray_cluster.RayExecutor(plan, 3, 2, gpus), None)
    assert actors.start(1, alone).actor == expected
    assert list(actors.devices) == [0, 1, 2]


def test_a_job_that_ray_gives_up_has_a_cause():
    died = ray_cluster._given_up(ray.exceptions.ActorDiedError())
    assert died.cause.startswith(
        "Ray gave it up, for 4 processes that learned it died, with their node, by a crash as a segmentation fault, or "
        "killed as the system does when memory runs out: ActorDiedError: The actor died unexpectedly"
    )
    full = ray_cluster._given_up(ray.exceptions.OutOfMemoryError("full"))
    assert full.cause.startswith("Ray gave it up, for the memory of its node was full; fewer --jobs")


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
    monkeypatch.setattr(ray_cluster, "check_storage", lambda folder, directory: None)
    plan = Plan(Settings(methods=("sgd",)), (), tmp_path, tmp_path, [[1]], keep_states=False, verify=False)
    executor, workers = choice._on_ray(Execution(jobs=jobs, executor="ray"), plan, 20, 0.0, cluster)
    assert isinstance(executor, ray_cluster.RayExecutor)
    assert (workers, executor.plan.threads, executor.cpus) == expected
    assert executor.workers == workers


class Cluster:
    """A cluster that is made up: its nodes offer resources, and say what machines they are."""

    def __init__(self, *offers: dict[str, float]):
        self.offers = offers
        self.left = False

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"Alive": True, "NodeID": str(number), "NodeName": f"node{number}", "Resources": offer}
            for number, offer in enumerate(self.offers)
        ]

    def connect(self, address: str | None, threads: int) -> list[Any]:
        return [ray_cluster.Node(int(each.get("CPU", 0)), int(each.get("GPU", 0))) for each in self.offers]

    def answers(self, nodes: list[dict[str, Any]], function: Any, *arguments: Any) -> Iterator[tuple[Any, Any]]:
        assert function is ray_cluster._describe
        for node in nodes:
            hardware = {"processor": f"P{node['NodeID']}", "threads": 64, "gpus": ["NVIDIA H200"] * 8, "driver": "580"}
            yield node, ({"versions": {"torch": "2.15"}, "hardware": hardware}, (f"{arguments}",))

    def leave(self) -> None:
        self.left = True


LAPTOP, CPUS, GPUS = {"CPU": 4.0}, {"CPU": 16.0}, {"CPU": 8.0, "GPU": 2.0}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cluster]:
    """cluster(CPUS, GPUS) -> from now on, a cluster of these nodes is joined."""

    def join(*offers: dict[str, float]) -> Cluster:
        made = Cluster(*offers)
        monkeypatch.setattr(ray_cluster, "connect", made.connect)
        monkeypatch.setattr(ray_cluster, "leave", made.leave)
        monkeypatch.setattr(ray_cluster, "_alive", made.nodes)
        monkeypatch.setattr(ray_cluster, "_answers", made.answers)
        return made

    return join


def on_ray(device: Any, precision: Any = "fp32") -> tuple[Execution, Prepared]:
    """What is known before the cluster is joined; the driver has its own device."""
    settings = Settings(methods=("sgd",), device=device, precision=precision)
    own = torch.device("cpu")
    return Execution(executor="ray"), Prepared(settings, (), None, None, own)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("offers", "asked", "device", "processors", "gpus"),
    [
        # A laptop without a GPU gives work to nodes that have some, and those without one do not learn.
        ((LAPTOP, GPUS), "auto", "cuda", "P1", ["NVIDIA H200"] * 2),
        ((GPUS, GPUS), "cuda", "cuda", ["P0", "P1"], ["NVIDIA H200"] * 4),
        ((LAPTOP, CPUS), "auto", "cpu", ["P0", "P1"], []),
        ((LAPTOP, GPUS), "cpu", "cpu", ["P0", "P1"], ["NVIDIA H200"] * 2),
    ],
)
def test_the_nodes_decide_about_the_device(
    cluster: Callable[..., Cluster],
    monkeypatch: pytest.MonkeyPatch,
    offers: tuple[dict[str, float], ...],
    asked: str,
    device: str,
    processors: Any,
    gpus: list[str],
):
    made = cluster(*offers)
    # Whatever the driver has.
    for own in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda own=own: own)
        with choice.site_of(*on_ray(asked)) as site:
            assert site.device == device
            hardware = site.machine["hardware"]
            assert (hardware["processor"], hardware["gpus"]) == (processors, gpus)
            assert site.machine["versions"] == {"torch": "2.15"}
            assert site.warnings == [f"('{device}', 'fp32')"]
            assert choice._gpu_share(Execution(executor="ray"), site.device) == (1.0 if device == "cuda" else 0.0)
        assert made.left


@pytest.mark.parametrize(
    ("offers", "asked", "precision", "says"),
    [
        ((LAPTOP, CPUS), "cuda", "fp32", "--executor ray: no node has a GPU; add --device cpu"),
        (({"GPU": 1.0},), "cpu", "fp32", "--executor ray: no node has a CPU for tasks"),
        ((LAPTOP, CPUS), "auto", "tf32", "--precision tf32: this run computes on the CPU, and only GPUs have TF32; "),
    ],
)
def test_what_no_node_has_is_refused_and_the_cluster_left(
    cluster: Callable[..., Cluster], offers: tuple[dict[str, float], ...], asked: str, precision: str, says: str
):
    made = cluster(*offers)
    with pytest.raises(UserError) as caught, choice.site_of(*on_ray(asked, precision)):
        pass
    assert str(caught.value).startswith(says)
    assert made.left


def test_a_driver_without_a_gpu_does_not_refuse_that_of_the_nodes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = Settings(methods=("sgd",), device="cuda", precision="tf32", tasks=1, train_images=20, test_images=10)
    prepared = prepare_run(settings, lambda text: None, elsewhere=True)
    assert prepared.device.type == "cpu"
    with pytest.raises(UserError, match=r"^--device cuda: torch sees no GPU here"):
        prepare_run(settings, lambda text: None)


def test_a_node_does_not_touch_its_gpus(monkeypatch: pytest.MonkeyPatch):
    """Also not in a way that starts no context: the process may later get other GPUs for a job."""

    def touched(*arguments: object) -> None:
        raise AssertionError("this process uses CUDA")

    for name in ("_lazy_init", "init", "is_available", "device_count", "get_device_properties", "is_bf16_supported"):
        monkeypatch.setattr(torch.cuda, name, touched)
    monkeypatch.setattr(gpus, "_asked", lambda: (Gpu("H200", 150 << 30, (9, 0)), Gpu("T4", 15 << 30, (7, 5))))
    # Ray hides the GPUs from the task.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    here, warnings = ray_cluster._describe("cuda", "bf16")
    assert here["hardware"]["gpus"] == ["H200", "T4"]
    assert [text.split(":")[0] for text in warnings] == ["--precision bf16"]
    with pytest.raises(UserError, match=r"^--precision tf32: the T4 has no TF32"):
        ray_cluster._describe("cuda", "tf32")
    assert ray_cluster._describe("cpu", "fp32")[0]["hardware"]["gpus"] == []


def test_the_gpus_of_the_driver_do_not_matter(cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch):
    cluster(GPUS)
    monkeypatch.setattr(gpus, "_asked", lambda: (Gpu("old", 1 << 30, (5, 0)),))
    with choice.site_of(*on_ray("cuda", "tf32")) as site:
        assert site.device == "cuda"


@pytest.mark.usefixtures("quick_report")
def test_the_manifest_says_what_the_nodes_are(place: Any, monkeypatch: pytest.MonkeyPatch):
    """On a cluster that is started here, whose node pretends to be another machine than the driver."""
    monkeypatch.setattr("benchmark.storage.provenance._hardware", lambda: {"processor": "the driver's", "gpus": []})
    assert main(["run", *place.options, "sgd", "--name", "run", "--jobs", "1", "--executor", "ray"]) == 0
    manifest = json.loads((place.path / "run" / "manifest.json").read_bytes())
    (process,) = manifest["processes"]
    assert (process["device"], process["workers"], process["gpus_per_cell"]) == ("cpu", 1, None)
    assert process["hardware"] == manifest["hardware"]
    assert process["hardware"]["processor"] != "the driver's"
    assert process["hardware"]["threads"] == torch.get_num_threads()
