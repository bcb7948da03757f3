"""The pretended GPU: it answers like a real one, computes the same numbers, and sees what would go wrong."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmark.checks.pretended.cuda import pretended_gpu
from benchmark.checks.pretended.log import DeviceError, Log, Wait, WaitError
from benchmark.checks.pretended.places import is_on_gpu

GPU = torch.device("cuda:0")
CPU = torch.device("cpu")


@pytest.fixture
def log():
    with pretended_gpu() as log:
        yield log


@pytest.fixture
def x(log: Log) -> Tensor:
    """A tensor [2, 3] on the GPU."""
    made = torch.arange(6.0, device="cuda").view(2, 3)
    log.launches.clear()
    return made


def test_a_tensor_says_where_it_is(x: Tensor) -> None:
    here = torch.zeros(2)
    assert (x.device, x.is_cuda, x.is_cpu, x.get_device()) == (GPU, True, False, 0)
    assert (here.device, here.is_cuda, here.is_cpu, here.get_device()) == (CPU, False, True, -1)
    assert torch.zeros(1, device="meta").device.type == "meta"


@pytest.mark.parametrize(
    "make",
    [
        lambda x: torch.zeros(2, device="cuda"),
        lambda x: torch.full((2,), 1.0, device=GPU),
        lambda x: torch.arange(3, device="cuda"),
        lambda x: torch.tensor([1.0], device="cuda"),
        lambda x: torch.as_tensor([1.0], device="cuda"),
        lambda x: torch.as_tensor(torch.ones(1), device="cuda"),
        lambda x: torch.empty(0, device="cuda"),
        lambda x: torch.zeros_like(x),
        lambda x: torch.zeros_like(torch.zeros(2), device="cuda"),
        lambda x: x.new_zeros(2),
        lambda x: x.new_tensor([1.0]),
        lambda x: x[0, 1:],
        lambda x: x.T.flatten(),
        lambda x: x + 1,
        lambda x: x.detach(),
        lambda x: x.clone(),
        lambda x: x.double(),
        lambda x: x.to(torch.int64),
        lambda x: x.to("cuda"),
        lambda x: x.to(x.dtype, copy=True),
        lambda x: torch.ones(2).cuda(),
        lambda x: torch.ones(2).to(0),
        lambda x: torch.ones(2).to(device="cuda", dtype=torch.float64),
        lambda x: torch.ones(2).to(x),
        lambda x: torch.ones(2).to(GPU, torch.float64, True, True),
        lambda x: torch.empty(2, device="cuda").copy_(torch.ones(2)),
        lambda x: copy.deepcopy(x),
        lambda x: nn.Parameter(x),
        lambda x: nn.Linear(2, 2).cuda().weight,
        lambda x: nn.Linear(2, 2, device="cuda").bias,
        lambda x: copy.deepcopy(nn.Linear(2, 2).to("cuda")).weight,
        lambda x: nn.functional.one_hot(x[0].long(), 4),
        lambda x: torch.func.vmap(lambda row: row.sum() + row.new_zeros(()))(x),
        lambda x: torch.rand(2, device="cuda", generator=torch.Generator("cuda")),
    ],
)
def test_what_is_made_there_is_there(make: Callable[[Tensor], Tensor], x: Tensor) -> None:
    assert make(x).device == GPU


@pytest.mark.parametrize(
    "make",
    [
        lambda x: torch.zeros(2),
        lambda x: torch.zeros_like(x, device="cpu"),
        lambda x: x.new_zeros(2, device="cpu"),
        lambda x: x.cpu(),
        lambda x: x.to("cpu", non_blocking=True),
        lambda x: x.to(torch.ones(1)),
        lambda x: torch.empty(2, 3).copy_(x),
        lambda x: torch.tensor(x.tolist()),
        lambda x: torch.ones(2).pin_memory(),
    ],
)
def test_what_is_made_here_is_here(make: Callable[[Tensor], Tensor], x: Tensor) -> None:
    assert make(x).device == CPU


def test_a_move_copies(log: Log) -> None:
    """Also if a function is allowed to return what it gets."""
    here = torch.ones(2)
    there = torch.as_tensor(here, device="cuda")
    there += 1
    assert here.tolist() == [1, 1]
    assert not is_on_gpu(here)


def test_a_mark_ends_with_its_tensor(log: Log) -> None:
    """New values in the same memory are on the CPU."""
    for _ in range(20):
        torch.zeros(100, device="cuda")
        assert torch.zeros(100).device == CPU


def test_training_computes_the_same(log: Log) -> None:
    """Forward, backward, a limit on the gradient and an optimiser's step; nothing waits."""

    def train(device: str) -> Tensor:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
        network.to(device)
        images, labels = torch.rand(4, 3, 8, 8).to(device), torch.tensor([0, 1, 1, 0]).to(device)
        optimizers = [torch.optim.SGD(network.parameters(), 0.1, 0.9), torch.optim.Adam(network.parameters())]
        log.waits.clear()
        for optimizer in (*optimizers, *optimizers):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        assert all(p.device.type == device and p.grad.device.type == device for p in network.parameters())
        return torch.cat([p.detach().flatten() for p in network.parameters()])

    there = train("cuda")
    assert log.waits == []
    assert torch.allclose(there.cpu(), train("cpu"), atol=1e-6)


def test_an_optimiser_of_two_devices(log: Log) -> None:
    """torch groups parameters by device."""
    here, there = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2, device="cuda"))
    here.grad, there.grad = torch.ones(2), torch.ones(2, device="cuda")
    torch.optim.Adam([here, there], lr=0.5, foreach=True).step()
    assert (here.device, there.device) == (CPU, GPU)
    assert here.tolist() == there.cpu().tolist() == pytest.approx([0.5, 0.5])


def test_nothing_is_left_behind() -> None:
    before = torch.cuda.is_available(), torch.Generator, torch.autocast, threading.Thread.run
    with pretended_gpu(free=123):
        assert torch.cuda.is_available()
        assert torch.cuda.mem_get_info()[0] == 123
        assert isinstance(torch.default_generator, torch.Generator)
    assert (torch.cuda.is_available(), torch.Generator, torch.autocast, threading.Thread.run) == before


def test_autocast(x: Tensor) -> None:
    with torch.autocast("cuda", torch.bfloat16):
        assert (x @ x.T).dtype == torch.bfloat16


def test_other_threads_see_it(x: Tensor) -> None:
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(lambda: (x + 1).device).result() == GPU


HERE = torch.ones(3)


def _in_a_thread(work: Callable[[Tensor], object]) -> None:
    with pretended_gpu() as log:
        x = torch.ones(3, device="cuda")
        thread = threading.Thread(target=lambda: work(x))
        with log.stepping(lambda: 1):
            thread.start()
            thread.join()


@pytest.mark.parametrize(("work", "error"), [(lambda x: x + HERE, DeviceError), (lambda x: x.sum().item(), WaitError)])
def test_an_error_in_another_thread(work: Callable[[Tensor], object], error: type[Exception]) -> None:
    """It ends the thread, and is raised after the block, with the line of the thread's function."""
    with pytest.raises(error) as raised:
        _in_a_thread(work)
    assert "<lambda>" in [entry.name for entry in raised.traceback]


def test_another_stream(x: Tensor, log: Log) -> None:
    """Work goes to it and comes back, and the program does not wait."""
    own = torch.cuda.Stream()
    own.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(own):
        y = x + 1
    torch.cuda.current_stream().wait_stream(own)
    y.record_stream(own)
    assert isinstance(own, torch.cuda.Stream)
    assert (own.query(), own.device, log.waits) == (True, GPU, [])


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint(reentrant: bool, x: Tensor) -> None:
    """What is computed again in the backward pass is on the GPU too."""
    x.requires_grad_()
    checkpoint(lambda x: (x * x).relu().sum(), x, use_reentrant=reentrant).backward()
    assert x.grad is not None
    assert x.grad.device == GPU
    assert x.grad.tolist() == [[0, 2, 4], [6, 8, 10]]


def test_tensors_saved_on_the_cpu(x: Tensor) -> None:
    """They come back in the backward pass."""
    x.requires_grad_()
    with torch.autograd.graph.save_on_cpu(pin_memory=True):
        loss = (x * x).sum()
    torch.autograd.backward(loss)
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 2, 4], [6, 8, 10]]


#: What ends in an error on a real GPU, and the words for it.
ERRORS: list[tuple[Callable[[Tensor], object], str]] = [
    (lambda x: x + HERE, r"aten.add.Tensor gets tensors on the GPU and, of the shape \[3\], on the CPU"),
    (lambda x: x + torch.ones(1), r"of the shape \[1\]"),
    (lambda x: torch.ones(()).add_(x[0, 0]), r"aten.add_.Tensor gets"),
    (lambda x: x @ torch.ones(3, 2), "aten.mm.default gets"),
    (lambda x: torch.cat([x[0], HERE]), "aten.cat.default gets"),
    (lambda x: x.index_select(0, torch.tensor([1])), "aten.index_select.default gets"),
    (lambda x: x.gather(0, torch.zeros(1, 3, dtype=torch.int64)), "aten.gather.default gets"),
    (lambda x: torch.where(HERE > 0, x, 0.0), "aten.where.self gets"),
    (lambda x: torch._foreach_add([x], [torch.ones(2, 3)]), "aten._foreach_add.List gets"),
    (lambda x: nn.functional.cross_entropy(x, torch.tensor([0, 1])), "aten.nll_loss"),
    (lambda x: nn.Linear(3, 2)(x), "aten.addmm.default gets"),
    (lambda x: HERE[x[0].long() % 2], "a tensor on the CPU is indexed by a tensor on the GPU"),
    (lambda x: x.index_put_((x[0].long() % 2,), torch.ones(3, 3)), "values of another device"),
    (lambda x: x.numpy(), "NumPy gets a tensor on the GPU"),
    (lambda x: x.pin_memory(), "pin_memory gets a tensor on the GPU"),
    (lambda x: x.uniform_(generator=torch.Generator()), "fills a tensor on the GPU by a generator of the CPU"),
    (lambda x: torch.rand(2, device="cuda", generator=torch.Generator()), "by a generator of the CPU"),
    (lambda x: nn.init.normal_(x, generator=torch.Generator()), "by a generator of the CPU"),
    (lambda x: torch.rand(2, generator=torch.Generator("cuda")), "on the CPU by a generator of the GPU"),
    (lambda x: setattr(nn.Parameter(x), "grad", torch.ones(2, 3)), "a gradient of another device"),
]


@pytest.mark.parametrize(("do", "says"), ERRORS)
def test_errors(do: Callable[[Tensor], object], says: str, x: Tensor) -> None:
    with pytest.raises(DeviceError, match=says):
        do(x)


def test_an_error_in_a_backward_pass(x: Tensor) -> None:
    """Of a function that is written in Python, which sees the GPU too."""

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            assert gradient.device == GPU
            return gradient * torch.ones(2, 3)

    with pytest.raises(DeviceError, match=r"aten.mul.Tensor gets"):
        Wrong.apply(x.requires_grad_()).sum().backward()


#: A number on the CPU may meet tensors on the GPU, and a mask of one value needs no count.
ALLOWED: list[Callable[[Tensor], object]] = [
    lambda x: x + torch.tensor(2.0),
    lambda x: torch.tensor(2.0) * x,
    lambda x: x.masked_fill(x > 2, torch.tensor(0.0)),
    lambda x: torch.where(x > 2, x, torch.tensor(0.0)),
    lambda x: x.fill_(torch.tensor(2.0)),
    lambda x: x.masked_fill_(x > 2, 0.0),
    lambda x: x.__setitem__(x > 2, 0.0),
    lambda x: x[torch.zeros(1, dtype=torch.int64, device="cuda")],
    lambda x: x[0, 1],
    lambda x: x.sum().clamp(max=0),
    lambda x: torch.ones(3).pin_memory().to("cuda", non_blocking=True),
    lambda x: torch.zeros(2, 3, device="cuda").copy_(torch.ones(2, 3).pin_memory(), non_blocking=True),
    lambda x: torch.ones(3).to("cuda", non_blocking=True),
    lambda x: x.to("cpu", non_blocking=True),
    lambda x: x.repeat_interleave(2),
    lambda x: nn.functional.one_hot(x[0].long(), 4),
    lambda x: len(x),
    lambda x: torch.ones(3).tolist(),
    lambda x: torch.ones(3).sum().item(),
    lambda x: HERE[HERE > 0],
    lambda x: torch.empty(1 << 15, pin_memory=True).to("cuda", non_blocking=True),
    lambda x: torch.empty((), pin_memory=True).copy_(x.sum(), non_blocking=True),
    lambda x: torch.multinomial(x + 1, 3, replacement=True),
    lambda x: torch.normal(x, 1.0),
    lambda x: torch.cuda.Event(enable_timing=True).record(),
    lambda x: torch.cuda.current_stream().wait_event(torch.cuda.Stream().record_event()),
]


@pytest.mark.parametrize("do", ALLOWED)
def test_what_neither_fails_nor_waits(do: Callable[[Tensor], object], x: Tensor, log: Log) -> None:
    do(x)
    assert log.waits == []


#: What waits for the GPU, and the words for it.
WAITS: list[tuple[Callable[[Tensor], object], str]] = [
    (lambda x: x.sum().item(), "reading a value"),
    (lambda x: float(x[0, 0]), "reading a value"),
    (lambda x: bool((x > 1).any()), "reading a value"),
    (lambda x: HERE[x[0, 0].long()], "reading a value"),
    (lambda x: torch.allclose(x, x), "torch.allclose"),
    (lambda x: x.tolist(), "tolist"),
    (lambda x: x.cpu(), "a copy from the GPU to the CPU without non_blocking=True"),
    (lambda x: torch.zeros(2, 3).copy_(x), "a copy from the GPU to the CPU without"),
    (lambda x: torch.zeros(2, 3).copy_(x, non_blocking=True), "a copy from the GPU to the CPU of memory that is not"),
    (lambda x: HERE.to("cuda"), "a copy from the CPU to the GPU without non_blocking=True"),
    (lambda x: HERE.pin_memory().cuda(), "a copy from the CPU to the GPU without non_blocking=True"),
    (lambda x: x.copy_(HERE), "a copy from the CPU to the GPU without"),
    (lambda x: x.__setitem__(0, HERE), "a copy from the CPU to the GPU without"),
    (lambda x: torch.tensor([1.0, 2.0], device="cuda"), "a copy from the CPU to the GPU without"),
    (lambda x: x.new_tensor([1.0]), "a copy from the CPU to the GPU without"),
    (lambda x: torch.ones(1 << 15).to("cuda", non_blocking=True), "CPU to the GPU of memory that is not pinned"),
    (lambda x: x[x > 2], "indexing by a boolean mask"),
    (lambda x: x.__setitem__(x > -1, torch.zeros_like(x).flatten()), "indexing by a boolean mask"),
    (lambda x: x[torch.tensor([0])], "indexing a tensor on the GPU by a tensor on the CPU"),
    (lambda x: x[torch.randperm(2)], "indexing a tensor on the GPU by a tensor on the CPU"),
    (lambda x: x[torch.tensor([True, False])], "indexing a tensor on the GPU by a tensor on the CPU"),
    (lambda x: x[torch.tensor([0])].zero_(), "by a tensor on the CPU"),
    (lambda x: x.__setitem__(torch.tensor([0]), 1.0), "by a tensor on the CPU"),
    (lambda x: x.nonzero(), "nonzero"),
    (lambda x: torch.where(x > 2), "nonzero"),
    (lambda x: x.masked_select(x > 2), "masked_select"),
    (lambda x: x.unique(), "unique"),
    (lambda x: x.unique(dim=1), "unique"),
    (lambda x: x[0].long().bincount(), "bincount"),
    (lambda x: x[0].repeat_interleave(x[0].long()), "repeat_interleave without output_size"),
    (lambda x: torch.equal(x, x), "torch.equal"),
    (lambda x: nn.functional.one_hot(x[0].long()), "one_hot without num_classes"),
    (lambda x: torch.linalg.inv(x[:, :2] + 1), "torch.linalg's look for errors"),
    (lambda x: torch.linalg.eigh(x @ x.T), "torch.linalg's look for errors"),
    (lambda x: torch.linalg.svdvals(x), "torch.linalg's look for errors"),
    (lambda x: torch.multinomial(x + 1, 2), "multinomial's look at its probabilities"),
    (lambda x: torch.multinomial(x + 1, 1, replacement=True), "multinomial's look at its probabilities"),
    (lambda x: torch.normal(0.0, x), "normal's look at its std"),
    (lambda x: torch.normal(x, x), "normal's look at its std"),
    (lambda x: x.to_sparse(), "to_sparse"),
    (lambda x: torch.cuda.synchronize(), "torch.cuda.synchronize"),
    (lambda x: torch.cuda.current_stream().synchronize(), r"the synchronize() of a stream"),
    (lambda x: torch.cuda.Event().synchronize(), r"the synchronize() of an event"),
]


@pytest.mark.parametrize(("do", "says"), WAITS)
def test_waits(do: Callable[[Tensor], object], says: str, x: Tensor, log: Log) -> None:
    """They are noted, and refused from the second step on."""
    log.waits.clear()
    do(x)
    assert says in log.waits[0].cause
    with log.stepping(lambda: 0):
        do(x)
    with log.stepping(lambda: 1), pytest.raises(WaitError, match="waits for the GPU in each step"):
        do(x)
    assert [wait.step for wait in log.waits][-1] == 2


def test_a_log_that_is_not_strict() -> None:
    with pretended_gpu(strict=False) as log, log.stepping(lambda: 1):
        torch.ones(1, device="cuda").item()
    assert log.waits == [Wait(2, "reading a value (.item(), float(), int(), bool() or if)")]


def test_launches(x: Tensor, log: Log) -> None:
    """An operator is one, a view and an empty tensor none; what is on the CPU does not count."""
    with log.stepping(lambda: 4):
        x.view(3, 2).T[0].detach()
        torch.empty(3, device="cuda")
        HERE * 2
        assert log.launches == {}
        torch._foreach_mul_([x, x], 2.0)
        assert log.launches == {5: 1}
        (x * 2 + 1).sum()
        torch.zeros(3, device="cuda")
        HERE.pin_memory().to("cuda", non_blocking=True)
    assert log.launches == {5: 6}
    x.neg()
    assert log.launches == {5: 6, 0: 1}
