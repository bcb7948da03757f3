"""How many workers there are, and what each may use, worked out by hand for machines that are made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.config import Execution, Settings
from benchmark.machine.gpus import Gpu
from benchmark.planning.preparation import Prepared
from benchmark.running.executors.base import Executor
from benchmark.running.executors.cell_learner import CellLearner
from benchmark.running.executors.choice import Site, choose_executor, site_of
from benchmark.running.executors.plan import Plan
from benchmark.running.executors.processes import ProcessExecutor
from benchmark.running.executors.serial import SerialExecutor
from benchmark.storage.folder import RunFolder
from benchmark.streams.base import Stream, Task
from methods.configured import configure
from methods.errors import UserError
from methods.network import Network

MEGABYTE = 1 << 20

Choose = Callable[..., tuple[Executor, bool]]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """machine(threads=8, memory=64_000, gpus=2) -> from now on, this machine has that; memory in MB."""

    def become(threads: int, memory: int = 1_000_000, gpus: int = 0) -> None:
        monkeypatch.setattr("benchmark.machine.limits._OWN", Path("nowhere"))
        monkeypatch.setattr("torch.get_num_threads", lambda: threads)
        # Each has 8 GB, enough for 4 cells on tiny networks, which need little more than the 600 MB of CUDA itself.
        found = [Gpu("small", 8 << 30, (8, 0))] * gpus
        monkeypatch.setattr("benchmark.running.executors.choice.visible_gpus", lambda: found)
        monkeypatch.setattr("benchmark.running.executors.gpu_share.usable_cores", lambda: threads)
        pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": memory * MEGABYTE // 4096}
        monkeypatch.setattr("os.sysconf", pages.__getitem__)
        # With a second batch, and the interpreter's 700 MB, a worker needs 1000 MB.
        monkeypatch.setattr("benchmark.running.executors.choice.training_memory", lambda *arguments: 150 * MEGABYTE)

    return become


@pytest.fixture
def choose(tiny_network: Network, tiny_tasks: tuple[Task, ...], tmp_path: Path) -> Choose:
    """choose(Execution(...), methods="sgd,er", seeds=2) -> what a run of these on three tasks gets."""

    def for_run(
        execution: Execution, methods: str = "sgd", seeds: int = 1, device: str = "cpu", orders: int = 1
    ) -> Any:
        settings = Settings(methods=tuple(methods.split(",")), seeds=tuple(range(seeds)), orders=orders)
        chosen = tuple(map(configure, settings.methods))
        prepared = Prepared(settings, chosen, Stream("tiny", tiny_tasks), tiny_network, torch.device(device))
        threads = torch.get_num_threads()
        listed = [[1, 2, 3], [3, 2, 1], [2, 1, 3]][:orders]
        plan = Plan(settings, (), tmp_path, tmp_path, listed, keep_states=False, verify=False, threads=threads)
        cells = CellLearner(prepared, RunFolder(tmp_path), plan.orders, keep_states=False, verify=False)
        entries = [
            {"method": method, "seed": seed, "order": order}
            for method in settings.methods
            for seed in settings.seeds
            for order in range(orders)
        ]
        return choose_executor(execution, plan, prepared, cells, {"clr"}, entries, Site(device))

    return for_run


def workers(executor: Executor) -> tuple[int, int, list[int]]:
    """How many there are, the threads of each, and their GPUs."""
    assert isinstance(executor, ProcessExecutor)
    return executor.workers, executor.plan.threads, list(executor.gpus)


def test_threads_are_divided(machine: Callable, choose: Choose):
    machine(threads=8)
    assert workers(choose(Execution(jobs=2), seeds=5)[0]) == (2, 4, [])
    assert workers(choose(Execution(jobs=3), seeds=5)[0]) == (3, 2, [])
    assert workers(choose(Execution(jobs=20), seeds=20)[0]) == (20, 1, [])


def test_there_are_no_more_workers_than_jobs(machine: Callable, choose: Choose):
    machine(threads=8)
    assert workers(choose(Execution(jobs=6), seeds=2)[0]) == (2, 4, [])
    assert isinstance(choose(Execution(jobs=6))[0], SerialExecutor)
    assert isinstance(choose(Execution(jobs=1), seeds=2)[0], SerialExecutor)
    # Three tasks, and a whole cell.
    assert workers(choose(Execution(), methods="clr,sgd")[0]) == (4, 2, [])


def test_as_many_workers_as_threads_unless_memory_is_short(machine: Callable, choose: Choose):
    machine(threads=8)
    assert workers(choose(Execution(), seeds=20)[0]) == (8, 1, [])
    # Of 5200 MB, four fifths are used.
    machine(threads=8, memory=5200)
    assert workers(choose(Execution(), seeds=20)[0]) == (4, 2, [])
    machine(threads=8, memory=900)
    assert isinstance(choose(Execution(), seeds=20)[0], SerialExecutor)
    # Who asks for more gets it.
    assert workers(choose(Execution(jobs=2), seeds=20)[0]) == (2, 4, [])


def test_a_container_may_allow_less_memory_than_the_machine_has(
    machine: Callable, choose: Choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    machine(threads=8, memory=64_000)
    (tmp_path / "own").write_text("0::/\n")
    (tmp_path / "memory.max").write_text(f"{2600 * MEGABYTE}\n")
    monkeypatch.setattr("benchmark.machine.limits._OWN", tmp_path / "own")
    monkeypatch.setattr("benchmark.machine.limits._GROUPS", tmp_path)
    # Of 2600 MB, four fifths are used.
    assert workers(choose(Execution(), seeds=20)[0]) == (2, 4, [])


@pytest.mark.parametrize(
    ("gpus", "share", "jobs", "placed"),
    [
        # Up to four small cells share a GPU.
        (1, None, None, [0, 0, 0, 0]),
        (2, None, None, [0, 0, 0, 0, 1, 1, 1, 1]),
        (2, None, 5, [0, 0, 0, 1, 1]),
        (2, None, 2, [0, 1]),
        (2, None, 1, [0]),
        (2, 1.0, None, [0, 1]),
        (2, 0.5, None, [0, 0, 1, 1]),
        (2, 0.4, None, [0, 0, 1, 1]),  # a fifth of each GPU is left over
        (2, 0.25, 5, [0, 0, 0, 0, 1]),
        (3, 1.0, 2, [0, 1]),
        (1, 0.1, 10, [0] * 10),
        (1, 0.25, 1, [0]),
    ],
)
def test_gpus_are_shared_out(
    machine: Callable, choose: Choose, gpus: int, share: float | None, jobs: int | None, placed: list[int]
):
    machine(threads=20, gpus=gpus)
    executor, _ = choose(Execution(jobs=jobs, gpus_per_cell=share), seeds=20, device="cuda")
    assert workers(executor) == (len(placed), 20 // len(placed), placed)
    assert executor.plan.share == (share or 1 / placed.count(0))


def test_one_job_on_a_gpu_has_a_worker(machine: Callable, choose: Choose):
    """The process that gives out jobs never touches the GPU, and outlives its errors."""
    machine(threads=8, gpus=1)
    executor, split = choose(Execution(jobs=1), seeds=2, device="cuda")
    assert workers(executor) == (1, 8, [0])
    assert not split
    assert workers(choose(Execution(), device="cuda")[0]) == (1, 8, [0])
    # Workers cannot import what a notebook has defined.
    assert isinstance(choose(Execution(jobs=1, in_process=True), device="cuda")[0], SerialExecutor)


def test_a_gpu_that_torch_does_not_see_is_refused(machine: Callable, choose: Choose):
    machine(threads=8)
    with pytest.raises(UserError, match=r"^--device cuda: torch sees no GPU here; use --device cpu$"):
        choose(Execution(), device="cuda")


@pytest.mark.parametrize(
    ("execution", "device", "says"),
    [
        (
            Execution(jobs=3, gpus_per_cell=1.0),
            "cuda",
            "--jobs 3 with --gpus-per-cell 1 is more than the 2 that there is room for; this machine has 2 GPUs",
        ),
        (
            Execution(jobs=5, gpus_per_cell=0.4),
            "cuda",
            "--jobs 5 with --gpus-per-cell 0.4 is more than the 4 that there is room for; this machine has 2 GPUs",
        ),
        (
            Execution(jobs=9),
            "cuda",
            "--jobs 9 without --gpus-per-cell is more than the 8 that there is room for; this machine has 2 GPUs",
        ),
        (
            Execution(gpus_per_cell=0.05),
            "cuda",
            "--gpus-per-cell 0.05: this share of the GPU has 410 MB of memory, and CUDA itself needs 600 MB in each "
            "process; give more than 0.073",
        ),
        (
            Execution(gpus_per_cell=0.5),
            "cpu",
            "--gpus-per-cell 0.5: this run uses no GPU; leave it out, or add --device cuda",
        ),
    ],
)
def test_what_there_is_no_room_for_is_refused(
    machine: Callable, choose: Choose, execution: Execution, device: str, says: str
):
    machine(threads=8, gpus=2)
    with pytest.raises(UserError) as caught:
        choose(execution, seeds=20, device=device)
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("execution", "split"),
    [
        (Execution(jobs=2), True),
        (Execution(jobs=1), False),
        (Execution(jobs=1, parallel_tasks=True), True),
        (Execution(jobs=2, parallel_tasks=False), False),
        (Execution(jobs=2, verify_evaluations=True), False),
    ],
)
def test_tasks_are_jobs_where_several_go_on(machine: Callable, choose: Choose, execution: Execution, split: bool):
    machine(threads=8)
    assert choose(execution, methods="clr,sgd")[1] == split


def test_a_task_of_several_orders_is_one_job(machine: Callable, choose: Choose):
    machine(threads=64)
    # Three tasks with two seeds; of the method that depends on the order, a cell for each seed and order.
    assert workers(choose(Execution(jobs=64), methods="clr", seeds=2, orders=3)[0])[0] == 6
    assert workers(choose(Execution(jobs=64), methods="clr,sgd", seeds=2, orders=3)[0])[0] == 12
    whole = Execution(jobs=64, parallel_tasks=False)
    assert workers(choose(whole, methods="clr", seeds=2, orders=3)[0])[0] == 6


def test_without_jobs_of_their_own_tasks_need_no_workers(machine: Callable, choose: Choose):
    machine(threads=8)
    executor, split = choose(Execution(parallel_tasks=False), methods="clr")
    assert isinstance(executor, SerialExecutor)
    assert not split


@pytest.mark.parametrize(
    ("options", "jobs", "placed"),
    [
        # (submitted, running at once, threads of each) of 5 cells on a machine with 8 threads.
        ("slurm", None, (5, 5, 1)),
        ("slurm:array_parallelism=2:cpus_per_task=4", None, (5, 2, 4)),
        ("slurm:array_parallelism=9", 3, (3, 3, 1)),
        ("slurm:cluster=local", 2, (2, 2, 1)),
        ("slurm:cluster=local:array_parallelism=4", None, (4, 4, 1)),
        # RAM for two.
        ("slurm:cluster=local", None, (2, 2, 1)),
        ("slurm:cluster=debug", 3, (1, 1, 1)),
    ],
)
def test_jobs_of_slurm(
    machine: Callable,
    choose: Choose,
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    jobs: int | None,
    placed: tuple[int, int, int],
):
    slurm = pytest.importorskip("benchmark.running.executors.slurm", reason="submitit is not installed")
    monkeypatch.setattr("shutil.which", lambda command: command)
    machine(threads=8, memory=2_600)
    executor, split = choose(Execution(executor=options, jobs=jobs), methods="sgd,er,ewc,si,clr")
    assert isinstance(executor, slurm.SlurmExecutor)
    assert (executor.places, executor.workers, executor.plan.threads) == placed
    # Three tasks of clr are not worth three jobs, unless the user wants it.
    assert not split
    assert executor.share == 0


def test_single_tasks_are_jobs_of_slurm_only_where_the_user_says_so(
    machine: Callable, choose: Choose, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setattr("shutil.which", lambda command: command)
    machine(threads=8)
    executor, split = choose(Execution(executor="slurm", parallel_tasks=True), methods="clr", device="cuda")
    assert (executor.workers, split, executor.share) == (3, True, 1.0)


@pytest.mark.parametrize(
    ("executor", "asked", "device"),
    [
        ("slurm", "auto", "cpu"),
        ("slurm", "cpu", "cpu"),
        ("slurm:gpus_per_node=1", "auto", "cuda"),
        ("slurm:gres=gpu:a100:1", "cuda", "cuda"),
        ("slurm:gpus_per_node=1", "cpu", "cpu"),
    ],
)
def test_the_options_of_jobs_decide_about_the_device(
    monkeypatch: pytest.MonkeyPatch, executor: str, asked: Any, device: str
):
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setattr("shutil.which", lambda command: command)
    with site_of(Execution(executor=executor), prepared(asked)) as site:
        # Which machine it is, only the jobs know.
        assert (site.device, site.machine) == (device, {"hardware": {}})


def prepared(device: Any, precision: Any = "fp32") -> Prepared:
    settings = Settings(methods=("sgd",), device=device, precision=precision)
    return Prepared(settings, (), None, None, torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("executor", "asked", "precision", "says"),
    [
        (
            "slurm",
            "cuda",
            "fp32",
            "--device cuda: the jobs have no GPU; write --executor slurm:gpus_per_node=1, or --device cpu",
        ),
        ("slurm", "auto", "tf32", "--precision tf32: this run computes on the CPU, and only GPUs have TF32; use "),
        ("slurm", "mps", "fp32", "--device mps: only this process computes on a GPU of Apple's; leave --executor out"),
    ],
)
def test_what_jobs_do_not_have_is_refused(
    monkeypatch: pytest.MonkeyPatch, executor: str, asked: Any, precision: Any, says: str
):
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setattr("shutil.which", lambda command: command)
    with pytest.raises(UserError) as caught, site_of(Execution(executor=executor), prepared(asked, precision)):
        pass
    assert str(caught.value).startswith(says)


def test_a_gpu_of_apple_has_one_process(machine: Callable, choose: Choose):
    machine(threads=8)
    for execution in (Execution(), Execution(jobs=1)):
        executor, split = choose(execution, methods="clr,sgd", seeds=3, device="mps")
        assert isinstance(executor, SerialExecutor)
        assert (executor.share, split) == (0, False)
    for execution, option in ((Execution(jobs=2), "--jobs 2"), (Execution(gpus_per_cell=0.5), "--gpus-per-cell 0.5")):
        with pytest.raises(UserError) as caught:
            choose(execution, device="mps")
        assert str(caught.value) == (
            f"{option}: with --device mps this process learns one cell after the other; leave it out"
        )
