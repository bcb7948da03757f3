"""Which executor does a run's jobs, with how many workers, and what each of them may use."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from benchmark.config import Execution
from benchmark.images.machine import usable_memory
from benchmark.learning.memory import training_memory
from benchmark.planning.preparation import Prepared
from benchmark.running.executors.base import Executor
from benchmark.running.executors.cells import Cells
from benchmark.running.executors.plan import Plan
from benchmark.running.executors.processes import ProcessExecutor
from benchmark.running.executors.serial import SerialExecutor
from methods.errors import UserError

# Of a worker's process, beside what training needs: the interpreter and its libraries, in bytes.
_PROCESS = 700 << 20


def choose_executor(
    execution: Execution,
    plan: Plan,
    prepared: Prepared,
    cells: Cells,
    independent: Collection[str],
    entries: Sequence[Mapping[str, Any]],
) -> tuple[Executor, bool]:
    """The executor that a run's options mean, and whether independent tasks are jobs of their own.

    Args:
        plan: of the run; its threads are those of this process.
        prepared, cells: for jobs that are done in this process.
        independent: labels of the methods whose tasks are.
        entries: the manifest's cells.

    Raises:
        UserError: there are not as many GPUs, or there is no such cluster, or it does not reach the run's folder.
    """
    # Alone, a task is not evaluated a second time, so that there is nothing to verify.
    may_split = execution.parallel_tasks is not False and not execution.verify_evaluations
    each = len(prepared.stream) if may_split else 1
    # All of them, done or not: the rest of an interrupted run is computed with as many threads as its beginning.
    counted = _learned_once(entries, independent) if may_split and len(plan.orders) > 1 else entries
    jobs = sum(each if entry["method"] in independent else 1 for entry in counted)
    share = _gpu_share(execution, prepared)
    executor: Executor
    if execution.executor == "ray":
        executor, workers = _on_ray(execution, plan, jobs, share)
    else:
        workers = min(jobs, execution.jobs or _affordable(prepared, share))
        gpus = _place(workers, share) if share else []
        if workers == 1:
            executor = SerialExecutor(cells)
        else:
            plan = plan.sharing([plan.threads], workers).with_stream(prepared.stream)
            executor = ProcessExecutor(plan, workers, gpus)
    split = may_split and (workers > 1 or bool(execution.parallel_tasks))
    return executor, split


def _learned_once(entries: Sequence[Mapping[str, Any]], independent: Collection[str]) -> list[Mapping[str, Any]]:
    """The cells without those whose tasks are learned for another order."""
    apart = {(e["method"], e["seed"]): e for e in entries if e["method"] in independent}
    return [*apart.values(), *(e for e in entries if e["method"] not in independent)]


def _on_ray(execution: Execution, plan: Plan, jobs: int, share: float) -> tuple[Executor, int]:
    """The executor on a Ray cluster, and how many workers it has."""
    from benchmark.running.executors.ray_cluster import RayExecutor, check_storage, connect

    nodes = connect(execution.address, plan.threads)
    room = sum(node.gpus * _room(share) if share else node.cpus for node in nodes)
    if not room:
        raise UserError(f"--executor ray: no node has a {'GPU; add --device cpu' if share else 'CPU for tasks'}")
    check_storage(plan.folder, plan.directory)
    workers = min(jobs, execution.jobs or room)
    cpus = [node.cpus for node in nodes]
    plan = plan.sharing(cpus, workers)
    # Where there are more workers than CPUs, they find a place all the same.
    return RayExecutor(plan, workers, min(plan.threads, sum(cpus) / workers), share), workers


def _gpu_share(execution: Execution, prepared: Prepared) -> float:
    """Of each worker; 0 where nothing is computed on a GPU."""
    share = execution.gpus_per_cell
    if prepared.device.type == "cuda":
        return share or 1.0
    if share:
        raise UserError(f"--gpus-per-cell {share:g}: this run uses no GPU; leave it out, or add --device cuda")
    return 0.0


def _affordable(prepared: Prepared, share: float) -> int:
    """As many workers as there is room for on the GPUs, or as there are threads, and memory."""
    if share:
        return torch.cuda.device_count() * _room(share)
    task = prepared.stream.tasks[0]
    batch = prepared.settings.batch_size
    # Replay passes a second batch through the network.
    need = _PROCESS + 2 * training_memory(prepared.backbone, len(task.classes), task.image_size, batch)
    memory = usable_memory() or need
    return max(1, min(torch.get_num_threads(), int(memory * 0.8 / need)))


def _place(workers: int, share: float) -> list[int]:
    """The GPU of each worker."""
    count = torch.cuda.device_count()
    if workers > count * _room(share):
        raise UserError(
            f"--jobs {workers} with --gpus-per-cell {share:g} is more than the {count * _room(share)} that there is "
            f"room for; this machine has {count} GPU{'s' if count > 1 else ''}"
        )
    return [worker // _room(share) for worker in range(workers)]


def _room(share: float) -> int:
    """How many cells fit on a GPU; what is left may be too little for one more."""
    return int(1 / share)
