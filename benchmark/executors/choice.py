"""Which executor does a run's jobs, with how many workers, and what each of them may use."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from benchmark.cells import Cells
from benchmark.config import Execution
from benchmark.cost import training_memory
from benchmark.executors.base import Executor, Plan
from benchmark.executors.processes import ProcessExecutor
from benchmark.executors.serial import SerialExecutor
from benchmark.preparation import Prepared
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
        UserError: there are not as many GPUs, or there is no such cluster.
    """
    # Alone, a task is not evaluated a second time, so that there is nothing to verify.
    may_split = execution.parallel_tasks is not False and not execution.verify_evaluations
    each = len(prepared.stream) if may_split else 1
    jobs = sum(each if entry["method"] in independent else 1 for entry in entries)
    gpus = 0.0
    if prepared.device.type == "cuda":
        gpus = execution.gpus_per_cell or 1.0
    if execution.executor == "ray":
        from benchmark.executors.ray_cluster import RayExecutor, check_storage, connect

        threads = connect(execution.address, plan.threads)
        check_storage(plan.folder, plan.directory)
        workers = execution.jobs or max(1, min(jobs, threads))
        executor: Executor = RayExecutor(plan.sharing(threads, workers), gpus)
    else:
        workers = min(jobs, execution.jobs or _affordable(prepared, gpus))
        placed = _place(workers, gpus) if gpus else []
        if workers == 1:
            executor = SerialExecutor(cells)
        else:
            executor = ProcessExecutor(plan.sharing(plan.threads, workers), workers, placed)
    split = may_split and (workers > 1 or bool(execution.parallel_tasks))
    return executor, split


def _affordable(prepared: Prepared, gpus: float) -> int:
    """As many workers as there are GPUs for, or threads, and memory."""
    if gpus:
        return max(1, int(torch.cuda.device_count() / gpus))
    task = prepared.stream.tasks[0]
    batch = prepared.settings.batch_size
    # Replay passes a second batch through the network.
    need = _PROCESS + 2 * training_memory(prepared.backbone, len(task.classes), task.image_size, batch)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else need
    return max(1, min(torch.get_num_threads(), int(memory * 0.8 / need)))


def _place(workers: int, share: float) -> list[int]:
    """The GPU of each worker."""
    count = torch.cuda.device_count()
    if workers * share > count:
        raise UserError(
            f"--jobs {workers} with {share:g} GPUs per cell needs {workers * share:g} GPUs, and there are {count}; "
            f"give fewer jobs, or a smaller --gpus-per-cell"
        )
    # What is left of a GPU may be too little for one more cell.
    per_gpu = max(1, int(1 / share))
    return [worker // per_gpu for worker in range(workers)]
