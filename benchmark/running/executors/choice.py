"""Chooses a run's executor, its number of workers, and the resources of each worker."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import torch

from benchmark.config import Execution, Settings, Slurm
from benchmark.learning.memory import training_memory
from benchmark.learning.precision import check_precision
from benchmark.machine.gpu_share import memory_fraction
from benchmark.machine.gpus import visible_gpus
from benchmark.machine.limits import usable_memory
from benchmark.planning.preparation import Prepared
from benchmark.running.executors.base import Executor
from benchmark.running.executors.cell_learner import CellLearner
from benchmark.running.executors.gpu_share import cells_per_gpu
from benchmark.running.executors.plan import Plan
from benchmark.running.executors.processes import ProcessExecutor
from benchmark.running.executors.serial import SerialExecutor
from benchmark.storage.provenance import several
from methods.devices import is_gpu
from methods.errors import UserError

if TYPE_CHECKING:
    from benchmark.running.executors.ray_cluster import Node

# RAM of a worker's process besides training, in bytes: the interpreter and its libraries.
_PROCESS = 700 << 20

# Slurm's own default: a larger array of jobs is refused (MaxArraySize).
_MOST_JOBS = 1000


Device = Literal["cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Site:
    """Where a run's jobs are done.

    Attributes:
        device: what --device means there.
        nodes: the machines of the Ray cluster; none with another executor.
        machine: what is known before of the versions and the hardware of other machines, as storage.provenance
            describes them; empty if the jobs are done on this machine.
        warnings: what the user must read about the precision there, a line each.
    """

    device: Device
    nodes: Sequence[Node] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()


@contextmanager
def site_of(execution: Execution, prepared: Prepared) -> Iterator[Site]:
    """Yield where the jobs are done. With Ray, the block is in the cluster, whose nodes decide about the device.

    Raises:
        UserError: there is no such cluster, or no node of it has what is asked for, or a node cannot do it.
    """
    if execution.elsewhere and prepared.settings.device == "mps":
        raise UserError("--device mps: only this process computes on a GPU of Apple's; leave --executor out")
    if execution.executor != "ray":
        slurm = execution.slurm
        yield _slurm_site(slurm, prepared.settings) if slurm else Site(_kind(prepared.device))
        return
    from benchmark.running.executors.ray_cluster import connect, leave, machines

    settings = prepared.settings
    nodes = connect(execution.address, torch.get_num_threads())
    try:
        any_gpu = any(node.gpus for node in nodes)
        meant: Device = "cuda" if any_gpu else "cpu"
        device = meant if settings.device == "auto" else settings.device
        if device == "cpu":
            # Of GPUs, the nodes know what they can do.
            check_precision(settings.precision, torch.device(device))
        found, warnings = machines(device, settings.precision)
        yield Site(device, nodes, several(found), warnings)
    finally:
        leave()


def _kind(device: torch.device) -> Device:
    return cast(Device, device.type) if is_gpu(device) else "cpu"


def _slurm_site(slurm: Slurm, settings: Settings) -> Site:
    """Return where Slurm's jobs are done. Which machines these are, each job tells when it runs.

    Raises:
        UserError: the jobs do not have what is asked for.
    """
    if settings.device == "cuda" and not slurm.has_gpu:
        raise UserError(
            f"--device {settings.device}: the jobs have no GPU; write --executor slurm:gpus_per_node=1, or --device cpu"
        )
    device: Device = "cuda" if slurm.has_gpu and settings.device != "cpu" else "cpu"
    if device == "cpu":
        check_precision(settings.precision, torch.device(device))
    return Site(device, machine={"hardware": {}})


def choose_executor(
    execution: Execution,
    plan: Plan,
    prepared: Prepared,
    learner: CellLearner,
    independent: Collection[str],
    entries: Sequence[Mapping[str, Any]],
    site: Site,
) -> tuple[Executor, bool]:
    """Return the executor for a run's options, and whether each independent task is its own job.

    Args:
        plan: the run's plan, with the threads of this process.
        prepared, learner: for jobs in this process.
        independent: labels of the methods with independent tasks.
        entries: the manifest's cells.
        site: where the jobs are done.

    Raises:
        UserError: there are too few GPUs, or a cluster does not reach the run's folder.
    """
    # A task that is learned alone is evaluated only once, so there is nothing to verify.
    may_split = execution.parallel_tasks is not False and not execution.verify_evaluations
    if execution.slurm:
        # Each job waits in the queue and starts a process, which is too much for a single task.
        may_split = may_split and bool(execution.parallel_tasks)
    each = len(prepared.stream) if may_split else 1
    # Finished cells count too, so that a resumed run uses the same number of threads as before.
    counted = _learned_once(entries, independent) if may_split and len(plan.orders) > 1 else entries
    jobs = sum(each if entry["method"] in independent else 1 for entry in counted)
    share = _gpu_share(execution, site.device)
    executor: Executor
    if execution.slurm:
        executor, workers = _on_slurm(execution, execution.slurm, plan, prepared, jobs, share)
    elif execution.executor == "ray":
        executor, workers = _on_ray(execution, plan, jobs, share, site.nodes)
    elif share and not execution.in_process:
        executor, workers = _on_gpus(execution, plan, prepared, jobs)
    else:
        # The processes of several workers are forked, after which Apple's libraries do not work.
        workers = 1 if site.device == "mps" else min(jobs, execution.jobs or _affordable(prepared))
        if workers == 1:
            executor = SerialExecutor(learner, share)
        else:
            executor = ProcessExecutor(plan.sharing([plan.threads], workers).with_stream(prepared.stream), workers)
    split = may_split and (workers > 1 or bool(execution.parallel_tasks))
    return executor, split


def _learned_once(entries: Sequence[Mapping[str, Any]], independent: Collection[str]) -> list[Mapping[str, Any]]:
    """Return the cells without those that get their tasks from another order."""
    apart = {(e["method"], e["seed"]): e for e in entries if e["method"] in independent}
    return [*apart.values(), *(e for e in entries if e["method"] not in independent)]


def _on_ray(execution: Execution, plan: Plan, jobs: int, share: float, nodes: Sequence[Node]) -> tuple[Executor, int]:
    """Return the executor on a Ray cluster, and its number of workers."""
    from benchmark.running.executors.ray_cluster import RayExecutor, check_storage

    room = sum(node.gpus * _room(share) if share else node.cpus for node in nodes)
    check_storage(plan.folder, plan.directory)
    workers = min(jobs, execution.jobs or room)
    cpus = [node.cpus for node in nodes]
    plan = replace(plan.sharing(cpus, workers), share=share)
    # If there are more workers than CPUs, each asks for less than one CPU, so that Ray can place all of them.
    return RayExecutor(plan, workers, min(plan.threads, sum(cpus) / workers), share), workers


def _on_slurm(
    execution: Execution, slurm: Slurm, plan: Plan, prepared: Prepared, jobs: int, share: float
) -> tuple[Executor, int]:
    """Return the executor that submits jobs to Slurm, and how many of them run at once."""
    from benchmark.running.executors.slurm import SlurmExecutor

    submitted = min(jobs, execution.jobs or jobs, 1 if slurm.cluster == "debug" else _MOST_JOBS)
    if slurm.cluster == "local" and not execution.jobs:
        # On this machine nothing lets jobs wait.
        submitted = min(submitted, slurm.array_parallelism or _affordable(prepared))
    plan = replace(plan, threads=slurm.cpus_per_task, share=share)
    workers = min(submitted, slurm.array_parallelism or submitted)
    return SlurmExecutor(plan, slurm, submitted, workers), workers


def _gpu_share(execution: Execution, device: str) -> float:
    """Return the GPU share of each worker that was asked for, or 1; 0 if no GPU is used."""
    share = execution.gpus_per_cell
    if device == "mps" and (share or (execution.jobs or 1) > 1):
        option = f"--gpus-per-cell {share:g}" if share else f"--jobs {execution.jobs}"
        raise UserError(f"{option}: with --device mps this process learns one cell after the other; leave it out")
    if device == "cuda":
        return share or 1.0
    if share:
        raise UserError(f"--gpus-per-cell {share:g}: this run uses no GPU; leave it out, or add --device cuda")
    return 0.0


def _on_gpus(execution: Execution, plan: Plan, prepared: Prepared, jobs: int) -> tuple[Executor, int]:
    """Return the executor on this machine's GPUs, and its number of workers.

    One job has a worker too: after an error of the GPU, another process can go on.
    """
    found, share = visible_gpus(), execution.gpus_per_cell
    if not found:
        raise UserError("--device cuda: torch sees no GPU here; use --device cpu")
    room = _room(share) if share else cells_per_gpu(prepared, found)
    workers = min(jobs, execution.jobs or len(found) * room)
    if workers > len(found) * room:
        asked = f"with --gpus-per-cell {share:g}" if share else "without --gpus-per-cell"
        raise UserError(
            f"--jobs {workers} {asked} is more than the {len(found) * room} that there is room for; this machine has "
            f"{len(found)} GPU{'s' if len(found) > 1 else ''}"
        )
    if share is None:
        # Fewer workers than there is room for are spread over all GPUs.
        room = math.ceil(workers / len(found))
        share = 1 / room
    # What a worker could not use is refused here.
    memory_fraction(share, min(gpu.memory for gpu in found))
    plan = replace(plan.sharing([plan.threads], workers).with_stream(prepared.stream), share=share)
    return ProcessExecutor(plan, workers, [worker // room for worker in range(workers)]), workers


def _affordable(prepared: Prepared) -> int:
    """Return how many workers the threads and the RAM allow."""
    task = prepared.stream.tasks[0]
    batch = prepared.settings.batch_size
    # Twice, because replay passes a second batch through the network.
    need = _PROCESS + 2 * training_memory(prepared.backbone, len(task.classes), task.image_size, batch)
    memory = usable_memory() or need
    return max(1, min(torch.get_num_threads(), int(memory * 0.8 / need)))


def _room(share: float) -> int:
    """Return how many workers fit on a GPU. A rest that is too small for one more is left unused."""
    return int(1 / share)
