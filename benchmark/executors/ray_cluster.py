"""Jobs on a Ray cluster, or on one that is started on this machine."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from queue import Empty

import ray
from ray.exceptions import RayError
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from benchmark.cells import Job
from benchmark.executors.base import Began, Ended, Failure, Plan, RemoteProgress, Told, attempt
from benchmark.progress import Progress
from methods.errors import UserError, first_line

# A job that is lost with its node or its process begins again so often: what it learned is in the run's folder.
_RETRIES = 3

# How long to wait for the end of a job before looking at what workers tell, in seconds.
_WAIT = 0.2

# No pixel and no tensor passes through Ray: 100 MB for its messages.
_OBJECT_STORE = 100 << 20


def connect(address: str | None, threads: int) -> int:
    """Join the cluster at `address`, or start one on this machine with so many CPUs.

    Returns:
        the number of the cluster's CPUs.

    Raises:
        UserError: there is no cluster.
    """
    try:
        if address is None:
            ray.init(
                "local",
                num_cpus=threads,
                object_store_memory=_OBJECT_STORE,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        else:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UserError(f"--address {address}: no Ray cluster answers there ({first_line(error)})") from error
    return int(ray.cluster_resources().get("CPU", 1))


def check_storage(folder: Path, directory: Path) -> None:
    """See that all nodes of the cluster reach the run's folder, and the directory to which paths are relative.

    Raises:
        UserError: one does not; the message names it.
    """
    mark = folder / f".reached-{uuid.uuid4().hex}"
    mark.touch()
    try:
        for node in ray.nodes():
            if not node["Alive"]:
                continue
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            missing = _unreached.options(scheduling_strategy=here).remote(mark, directory)
            try:
                path = ray.get(missing)
            except RayError as error:
                raise UserError(
                    f"--executor ray: node {node['NodeName']} cannot run the benchmark ({first_line(error)}); "
                    "install it there as it is here"
                ) from error
            if path:
                raise UserError(
                    f"--executor ray: node {node['NodeName']} does not reach {path}; work, and write "
                    "with --out, on storage that all nodes share"
                )
    finally:
        mark.unlink()


@ray.remote(num_cpus=0)
def _unreached(mark: Path, directory: Path) -> Path | None:
    """On a node: what is missing there."""
    if not mark.exists():
        return mark.parent
    try:
        written = mark.with_suffix(".written")
        written.touch()
        written.unlink()
    except OSError:
        return mark.parent
    return None if directory.is_dir() else directory


class RayExecutor:
    """Jobs as Ray's tasks.

    Args:
        plan: of the run.
        gpus: share of a GPU that each job gets; 0 for none.
    """

    def __init__(self, plan: Plan, gpus: float):
        self._plan = plan
        self._gpus = gpus

    def run(self, jobs: Sequence[Job], progress: Progress) -> Generator[Began | Ended]:
        told = Queue(actor_options={"num_cpus": 0})
        plan = ray.put(self._plan)
        do = _do.options(num_cpus=self._plan.threads, num_gpus=self._gpus, max_retries=_RETRIES)
        running = {do.remote(plan, job, told): job for job in jobs}
        try:
            while running:
                done, _ = ray.wait(list(running), timeout=_WAIT)
                for message in _all(told):
                    if isinstance(message, Told):
                        message.tell(progress)
                    else:
                        yield Began(message)
                for reference in done:
                    job = running.pop(reference)
                    try:
                        yield Ended(job, ray.get(reference))
                    except RayError as error:
                        yield Ended(job, Failure(f"{type(error).__name__}: {first_line(error)}"))
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
            ray.shutdown()


@ray.remote
def _do(plan: Plan, job: Job, told: Queue) -> Failure | None:
    """In a worker."""
    told.put(job)
    return attempt(plan, job, RemoteProgress(told.put))


def _all(queue: Queue) -> Iterator[Told | Job]:
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return
