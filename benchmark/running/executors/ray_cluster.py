"""Runs jobs on a Ray cluster, or on one that is started on this machine."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

# Ray prints when its processes die, even without `log_to_driver`. Here this is reported as the cause of a failure.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^")

import ray
import torch
from ray._private import ray_constants
from ray.exceptions import ActorDiedError, GetTimeoutError, OutOfMemoryError, RayError, RayTaskError
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from benchmark.files import OWN
from benchmark.learning.precision import Precision, check_precision, precision_warnings
from benchmark.progress.events import Event, Failure, JobEnded, Listener
from benchmark.running.executors.base import attempt
from benchmark.running.executors.cells import Job
from benchmark.running.executors.crew import do_all
from benchmark.running.executors.plan import Plan
from benchmark.storage.provenance import machine
from benchmark.workers import short_folder
from methods.errors import UserError, first_line

T = TypeVar("T")

# How often a job is started again if its node or process dies: its learned tasks are in the run's folder.
_RETRIES = 3

# How long to wait for the end of a job before reading the workers' events, in seconds.
_WAIT = 0.2

# How long a node may take to answer, in seconds. It starts a process that imports torch, and may be busy.
_PATIENCE = 600

# How long the program at an address may take to answer, in seconds.
_ANSWER = 30

# The type of HTTP/2's SETTINGS frame.
_SETTINGS = 4

# A socket's path has at most 103 bytes. Ray adds these 69 bytes to the folder of temporary files:
# /ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store.
_LONGEST = 103 - 69

# 100 MB are enough for messages: no images or tensors pass through Ray.
_OBJECT_STORE = 100 << 20


@dataclass(frozen=True)
class Node:
    """A machine of the cluster, with the CPUs and GPUs that it offers."""

    cpus: int
    gpus: int


def connect(address: str | None, threads: int) -> list[Node]:
    """Join the cluster at `address`, or start one on this machine with `threads` CPUs.

    Raises:
        UserError: there is no cluster, or it does not start.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            folder = None if "RAY_TMPDIR" in os.environ else str(Path(short_folder(_LONGEST), "ray"))
            with _on_loopback():
                ray.init(
                    "local",
                    num_cpus=threads,
                    object_store_memory=_OBJECT_STORE,
                    include_dashboard=False,
                    _temp_dir=folder,
                    **quiet,
                )
        else:
            _knock(os.environ.get("RAY_ADDRESS", "") if address == "auto" else address)
            ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        if address is None:
            raise UserError(f"--executor ray: Ray does not start on this machine ({first_line(error)})") from error
        raise UserError(
            f"--address {address}: no Ray cluster can be joined there ({first_line(error)}); give the HOST:PORT that "
            "`ray start --head` told, with RAY_AUTH_MODE=token if it wants a token, or, on one of its nodes, auto"
        ) from error
    resources = [node["Resources"] for node in _alive()]
    return [Node(int(each.get("CPU", 0)), int(each.get("GPU", 0))) for each in resources]


def leave() -> None:
    """Leave the cluster, if this process is in it, and end it if it was started here."""
    ray.shutdown()


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Make a cluster that starts in the block listen only on 127.0.0.1, as Ray does on macOS and Windows.

    On other systems, Ray would listen on every interface, and would replace a given loopback address by another.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _knock(address: str) -> None:
    """Raise OSError if no head node of Ray listens at HOST:PORT, because Ray would try for minutes.

    A head node speaks gRPC, which uses HTTP/2: after a connection opens, it sends the settings at once.
    """
    host, _, port = address.rpartition(":")
    # Ray resolves "auto" itself, and answers at once to other forms of RAY_ADDRESS, such as ray://...
    if not host or "/" in host:
        return
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER) as connection:
        # Only Ray can read an encrypted connection.
        if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
            return
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0]))
        try:
            answer = connection.recv(9)
        except TimeoutError:
            raise TimeoutError(f"what listens there has not answered for {_ANSWER} s") from None
        if answer[3:4] != bytes([_SETTINGS]):
            raise ConnectionError("what listens there is no head node of Ray")


def check_storage(folder: Path, directory: Path) -> None:
    """Check that all nodes of the cluster reach the run's folder, and the directory to which paths are relative.

    Raises:
        UserError: a node does not; the message names it.
    """
    with tempfile.NamedTemporaryFile(dir=folder, prefix=OWN, suffix=".tmp") as mark:
        for node, path in _answers(_alive(), _unreached, Path(mark.name), directory):
            if path:
                raise UserError(
                    f"--executor ray: node {node['NodeName']} does not reach {path}; work, and write "
                    "with --out, on storage that all nodes share"
                )


def machines(device: str, precision: Precision) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the versions and the hardware of the nodes that learn, and warnings about the precision there.

    Args:
        device: "cuda" for the nodes that offer GPUs, "cpu" for those that offer CPUs.
        precision: the value of --precision.

    Raises:
        UserError: no node offers that, or one does not answer, or cannot do it.
    """
    wanted = {"cuda": "GPU", "cpu": "CPU"}[device]
    nodes = [node for node in _alive() if int(node["Resources"].get(wanted, 0))]
    if not nodes:
        raise UserError(
            f"--executor ray: no node has a {'GPU; add --device cpu' if device == 'cuda' else 'CPU for tasks'}"
        )
    found, warnings = [], dict[str, None]()
    for node, (here, warned) in _answers(nodes, _describe, device, precision):
        offers = node["Resources"]
        own = {"threads": int(offers.get("CPU", 0)), "gpus": here["hardware"]["gpus"][: int(offers.get("GPU", 0))]}
        found.append({**here, "hardware": here["hardware"] | own})
        warnings |= dict.fromkeys(warned)
    return found, list(warnings)


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _answers(
    nodes: Sequence[dict[str, Any]], function: Callable[..., T], *arguments: Any
) -> Iterator[tuple[dict[str, Any], T]]:
    """Call a function on each of these nodes: yields the node and what it returned there.

    Raises:
        UserError: a node does not answer, cannot run the program, or refuses; the message names it.
    """
    # Not a decorator: Ray would send the code, and not check that the node has the program.
    remote = ray.remote(num_cpus=0)(function)
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    answers = [remote.options(scheduling_strategy=at).remote(*arguments) for at in places]
    for node, answer in zip(nodes, answers, strict=True):
        try:
            found = ray.get(answer, timeout=_PATIENCE)
        except GetTimeoutError as error:
            raise UserError(
                f"--executor ray: node {node['NodeName']} has not answered for {_PATIENCE} s; free it, or take "
                "it out of the cluster"
            ) from error
        except RayError as error:
            refusal = getattr(error, "cause", None)
            if isinstance(refusal, UserError):
                raise UserError(f"--executor ray: on node {node['NodeName']}, {refusal}") from error
            raise UserError(
                f"--executor ray: node {node['NodeName']} cannot run the benchmark ({first_line(error)}); "
                "install it there as it is here"
            ) from error
        yield node, found


def _describe(device: str, precision: Precision) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return, on a node, its versions and hardware, and warnings about the precision.

    This process may do jobs later, so it must not touch a GPU, nor let CUDA read the variable that is removed here.

    Raises:
        UserError: the node's GPUs do not have the precision, or CUDA does not work there.
    """
    # Ray hides the GPUs from a task that has asked for none, and sets this anew for the next task.
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    there = torch.device(device)
    check_precision(precision, there)
    return machine(device), precision_warnings(precision, there)


def _unreached(mark: Path, directory: Path) -> Path | None:
    """Return, on a node, the path that is missing or not writable there; None if all is well."""
    try:
        with tempfile.TemporaryFile(dir=mark.parent):
            reached = mark.exists()
    except OSError:
        reached = False
    if not reached:
        return mark.parent
    return None if directory.is_dir() else directory


@dataclass(frozen=True)
class RayExecutor:
    """Runs jobs in actors of Ray. An actor keeps its share of a GPU for many jobs.

    Attributes:
        plan: the run's plan, with the share of a GPU.
        workers: largest number of jobs at the same time.
        cpus, gpus: the share that Ray reserves for each worker; 0 GPUs if no GPU is used.
    """

    plan: Plan
    workers: int
    cpus: float
    gpus: float

    @property
    def share(self) -> float:
        return self.gpus

    def run(self, jobs: deque[Job], tell: Listener) -> None:
        # The queue is on the node of this process, so that it is lost only together with this process.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        do_all(jobs, _Actors(self, Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})), tell)


class _Actors:
    """The workers on a cluster; see Crew.

    Args:
        executor: says what each may use.
        told: receives their events.
    """

    retries = _RETRIES

    def __init__(self, executor: RayExecutor, told: Queue):
        self._executor = executor
        self._told = told
        whole = replace(executor.plan, share=1.0) if executor.gpus else executor.plan
        self._plans = {False: ray.put(executor.plan), True: ray.put(whole)}
        # Ray finds the GPU of each worker, also one that nobody else uses.
        self.devices = range(executor.workers)

    def start(self, place: int, alone: bool) -> _Worker:
        gpus = 1 if alone and self._executor.gpus else self._executor.gpus
        # Not a decorator: Ray would send the code, and not check that the node has the program.
        actor = ray.remote(num_cpus=self._executor.cpus, num_gpus=gpus)(_Actor)
        return _Worker(place, alone, actor.remote(self._plans[alone], self._told))

    def wait(self, busy: Sequence[_Worker], tell: Listener) -> Iterator[tuple[_Worker, JobEnded | None]]:
        done, _ = ray.wait([worker.reference for worker in busy], num_returns=1, timeout=_WAIT)
        for event in _all(self._told):
            tell(event)
        for worker in busy:
            if worker.reference in done:
                yield worker, worker.outcome()


class _Actor:
    """Does jobs on a node."""

    def __init__(self, plan: Plan, told: Queue):
        self._plan = plan
        self._told = told

    def do(self, job: Job) -> Failure | None:
        return attempt(self._plan, job, self._told.put)


@dataclass(eq=False)
class _Worker:
    """An actor; see Worker."""

    place: int
    alone: bool
    actor: Any
    job: Job = field(init=False)
    reference: ray.ObjectRef[Any] = field(init=False)
    error: RayError = field(init=False)

    def give(self, job: Job) -> None:
        self.job, self.reference = job, self.actor.do.remote(job)

    def outcome(self) -> JobEnded | None:
        """Return how the job has ended; None if the actor has died."""
        try:
            return JobEnded(self.job.name, ray.get(self.reference))
        except RayTaskError as error:
            return JobEnded(self.job.name, _given_up(error))
        except RayError as error:
            self.error = error
            # It may be only unreachable, and must not go on beside its successor.
            self.stop()
            return None

    def stop(self) -> None:
        ray.kill(self.actor)

    def bury(self) -> None:
        """Ray does it."""

    def obituary(self) -> Failure:
        return _given_up(self.error)


def _given_up(error: RayError) -> Failure:
    return Failure(f"Ray gave it up{_death(error)}: {first_line(error)}")


def _death(error: RayError) -> str:
    """Return how a job's worker died, if Ray knows it."""
    if isinstance(error, OutOfMemoryError):
        return ", for the memory of its node was full; fewer --jobs or a smaller --batch-size need less"
    if isinstance(error, ActorDiedError):
        return (
            f", for {_RETRIES + 1} processes that learned it died, with their node, by a crash as a segmentation "
            "fault, or killed as the system does when memory runs out"
        )
    return ""


def _all(queue: Queue) -> Iterator[Event]:
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return
