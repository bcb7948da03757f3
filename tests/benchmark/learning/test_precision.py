"""In bf16 the network computes in bfloat16, and everything that is learned or kept stays in float32."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.cli.main import main
from benchmark.config import Settings
from benchmark.images.labelled import LabelledImages
from benchmark.learning.evaluation import evaluate, network_for
from benchmark.learning.learner import Cell, learn, start
from benchmark.learning.precision import (
    Precision,
    arithmetic,
    check_precision,
    computes_bfloat16,
    computing,
)
from benchmark.learning.training import Training
from benchmark.machine.gpus import Gpu
from benchmark.planning.preparation import prepare_run
from benchmark.results.answers import accuracy
from benchmark.running.executors.plan import Plan
from benchmark.streams.base import Task
from methods import Method, methods
from methods.errors import UserError
from methods.network import Network

CPU = torch.device("cpu")


@pytest.fixture
def convolved(tiny_network: Network) -> list[torch.dtype]:
    """The formats in which convolutions answered."""
    formats: list[torch.dtype] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        formats.append(output.dtype)

    for module in tiny_network.backbone:
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    return formats


@pytest.mark.parametrize("name", ["sgd", "clr", "er"])
@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_only_the_passes_have_the_precision(
    name: str,
    precision: str,
    dtype: torch.dtype,
    convolved: list[torch.dtype],
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits, learning = set(), set()

    def after_update(self: Method, strategy: Any, **kwargs: Any) -> None:
        logits.add(strategy.mb_output.dtype)
        trained = strategy.optimizer.param_groups[0]["params"]
        kept = (tensor for state in strategy.optimizer.state.values() for tensor in state.values())
        learning.update(tensor.dtype for tensor in (*trained, *(p.grad for p in trained), *kept, strategy.loss))

    monkeypatch.setattr(Method, "after_update", after_update)
    cell, how = make_cell(name), Training(methods.get(name).recipe, epochs=1, batch_size=8, precision=precision)
    state = start(cell)
    for task in tiny_tasks[:2]:
        state = learn(cell, state, task, how).state
    assert set(convolved) == {dtype}
    assert logits == {torch.float32}
    assert learning == {torch.float32}
    stored = [*state.shared.values(), *state.tasks[1].values(), *state.tasks[2].values(), *state.memory.values()]
    assert not any(tensor.dtype == torch.bfloat16 for tensor in stored)


def test_the_network_answers_in_the_same_precision_as_it_learned(
    convolved: list[torch.dtype], make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell, data = make_cell("sgd"), tiny_tasks[0].train
    how = Training(methods.get("sgd").recipe, epochs=8, batch_size=8, precision="bf16")
    learned = learn(cell, start(cell), tiny_tasks[0], how)
    assert learned.losses[-1] < 0.7 * learned.losses[0]
    network = network_for(cell, learned.state, 1, 3)
    convolved.clear()
    half, single = (
        accuracy(evaluate(network, data, CPU, precision).classes, data.labels) for precision in ("bf16", "fp32")
    )
    assert convolved == [torch.bfloat16] * 2 + [torch.float32] * 2
    assert half == pytest.approx(single, abs=0.1)
    assert single > 0.6, "a third would be guessed"


class Close(nn.Module):
    """Features whose first value decides nothing, and whose second one is too small to be seen beside it."""

    def __init__(self) -> None:
        super().__init__()
        # A convolution, which autocast computes in bfloat16; it also holds both values exactly.
        self.convolution = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.zeros_(self.convolution.weight)

    def forward(self, images: Tensor) -> Tensor:
        features = self.convolution(images).mean((2, 3))
        return features + torch.tensor([256.0, 0.5], dtype=features.dtype)


def test_of_two_close_classes_the_lower_one_does_not_win(tiny_tasks: tuple[Task, ...]) -> None:
    network = Network(Close(), 2, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    network.heads.add("1", 2)
    with torch.no_grad():
        # The logits 256 and 256.5 are both 256 in bfloat16.
        network.heads.weight.copy_(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        network.heads.bias.zero_()
    network.use_head("1", 2)
    data = tiny_tasks[1].train
    data = LabelledImages(data.images, torch.ones_like(data.labels))
    assert evaluate(network.eval(), data, CPU, "bf16").classes.all()


def test_changed_weights_are_used_at_once() -> None:
    layer, x = nn.Linear(1, 1, bias=False), torch.ones(1, 1)
    with computing("bf16", CPU):
        answers = []
        for value in (1.0, 2.0):
            with torch.no_grad():
                layer.weight.fill_(value)
            answers.append(layer(x).item())
    assert answers == [1.0, 2.0]


def test_single_precision_is_left_alone() -> None:
    with computing("fp32", CPU):
        assert not torch.is_autocast_enabled("cpu")
    with computing("bf16", CPU):
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


# What PyTorch says of a processor: oneDNN's word, then AVX-512's and AMX's bfloat16.
@pytest.mark.parametrize(
    ("machine", "available", "onednn", "avx512", "amx", "expected"),
    [
        ("x86_64", True, True, True, False, True),
        ("x86_64", True, True, False, True, True),
        ("x86_64", True, True, False, False, False),  # AVX-512 without bfloat16
        ("x86_64", True, False, True, True, False),  # AVX2, or oneDNN is told to use no more
        ("AMD64", True, True, False, False, False),
        ("aarch64", True, True, False, False, True),
        ("aarch64", True, False, False, False, False),
        ("arm64", False, True, False, False, False),  # PyTorch was built without oneDNN
    ],
)
def test_what_a_processor_knows(
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    available: bool,
    onednn: bool,
    avx512: bool,
    amx: bool,
    expected: bool,
):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: available)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert computes_bfloat16(CPU) is expected


def test_nothing_is_pretended():
    assert computes_bfloat16(CPU) in (True, False)


@pytest.mark.parametrize(
    ("precision", "native", "warned"), [("bf16", False, True), ("bf16", True, False), ("fp32", False, False)]
)
def test_a_processor_without_bfloat16_is_told_once_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, precision: Precision, native: bool, warned: bool
):
    monkeypatch.setattr("benchmark.learning.precision.computes_bfloat16", lambda device: native)
    settings = Settings(methods=("sgd",), precision=precision, device="cpu", tasks=1, train_images=20, test_images=10)
    said: list[str] = []
    prepare_run(settings, said.append, warn=lambda text: said.append(f"warning: {text}"))
    warnings = [text for text in said if text.startswith("warning")]
    assert len(warnings) == warned
    if warned:
        assert said[0] == warnings[0]
        assert "--precision bf16" in warnings[0]
        assert "several times as long as with --precision fp32" in warnings[0]


def test_a_run_of_several_cells_says_it_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
):
    """Not once a cell."""
    monkeypatch.setattr("benchmark.learning.precision.computes_bfloat16", lambda device: False)
    options = "--methods linear-probe,sgd --seeds 2 --backbone mlp:size=8 --tasks 1 --epochs 1 --train-images 20"
    how = f"--test-images 10 --precision bf16 --device cpu --jobs 1 --name rounded --out {tmp_path}"
    assert main(["run", *options.split(), *how.split()]) == 0
    assert capfd.readouterr().err.count("--precision bf16: PyTorch finds no bfloat16 arithmetic") == 1


def test_workers_say_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmark.learning.precision.computes_bfloat16", lambda device: False)
    settings = Settings(
        methods=("sgd",),
        backbone="mlp:size=8",
        precision="bf16",
        device="cpu",
        tasks=1,
        train_images=20,
        test_images=10,
    )
    Plan(settings, (), Path.cwd(), tmp_path, [[1]], keep_states=False, verify=False).prepare()
    assert capfd.readouterr() == ("", "")


def torch_settings() -> list[Any]:
    """What torch says of float32 in convolutions and matrix products, in its older words and in its newer ones."""
    backends = torch.backends
    older = [backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision()]
    if not hasattr(backends.cudnn, "conv"):
        return older
    operations = (backends.cudnn.conv, backends.cuda.matmul, backends.mkldnn.conv, backends.mkldnn.matmul)
    return [*older, *(operation.fp32_precision for operation in operations)]


def cudnn_settings() -> tuple[bool, bool]:
    return torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark


EXACT: list[Any] = [False, False, "highest", "ieee", "ieee", "ieee", "ieee"]
ROUNDED: list[Any] = [True, True, "high", "tf32", "tf32", "tf32", "tf32"]


@pytest.fixture
def careless() -> Iterator[list[Any]]:
    """A program that lets torch compute as fast as it can."""
    with torch.backends.cudnn.flags(benchmark=True, deterministic=False, allow_tf32=True):
        torch.set_float32_matmul_precision("medium")
        yield torch_settings()
    torch.set_float32_matmul_precision("highest")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("precision", "expected"), [("fp32", EXACT), ("bf16", EXACT), ("tf32", ROUNDED)])
def test_learning_and_evaluating_have_the_precision_and_nothing_else_has(
    careless: list[Any],
    precision: Precision,
    expected: list[Any],
    make_cell: Callable[..., Cell],
    tiny_tasks: tuple[Task, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []

    def look(*arguments: Any) -> None:
        seen.append((torch_settings(), cudnn_settings()))

    # Before, during and after the steps, and in an evaluation.
    for hook in ("before_training_exp", "after_backward", "after_training_exp"):
        monkeypatch.setattr(Method, hook, look)
    cell, how = make_cell("sgd"), Training(methods.get("sgd").recipe, epochs=1, batch_size=40, precision=precision)
    learned = learn(cell, start(cell), tiny_tasks[0], how)
    assert len(seen) == 3
    assert torch_settings() == careless
    network = network_for(cell, learned.state, 1, 3)
    network.backbone.register_forward_hook(look)
    evaluate(network, tiny_tasks[0].test, CPU, precision)
    assert len(seen) == 4
    assert all(found == (expected[: len(careless)], (True, False)) for found in seen)
    assert torch_settings() == careless
    assert cudnn_settings() == (False, True)


def test_the_settings_are_as_before_after_an_error(careless: list[Any]) -> None:
    with pytest.raises(KeyError), arithmetic("fp32", CPU):
        raise KeyError
    assert torch_settings() == careless
    assert cudnn_settings() == (False, True)


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="torch is older than 2.9")
def test_settings_that_contradict_each_other_are_as_before() -> None:
    """A program that uses only torch's newer settings, after which torch refuses to read the older ones."""
    operations = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
    before = [operation.fp32_precision for operation in operations]
    try:
        torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision = "ieee", "tf32"
        with arithmetic("fp32", CPU):
            assert torch_settings() == EXACT
        assert [operation.fp32_precision for operation in operations] == ["ieee", "tf32"]
        with pytest.raises(RuntimeError):
            torch.get_float32_matmul_precision()
    finally:
        for operation, value in zip(operations, before, strict=True):
            operation.fp32_precision = value


class Older:
    """torch.backends.cudnn before version 2.9, where operations have no formats of their own."""

    allow_tf32 = True
    deterministic = benchmark = False


def test_older_versions_of_torch_have_fewer_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn = Older()
    monkeypatch.setattr("benchmark.learning.precision.cudnn", cudnn)
    asked = ["high"]
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: asked[-1])
    monkeypatch.setattr(torch, "set_float32_matmul_precision", asked.append)
    with arithmetic("fp32", CPU):
        assert (cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark) == (False, True, False)
        assert asked == ["high", "highest"]
    assert (cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark) == (True, False, False)
    assert asked == ["high", "highest", "high"]
    cudnn.allow_tf32 = False
    with arithmetic("tf32", CPU):
        assert cudnn.allow_tf32
        assert asked[-1] == "high"
    assert not cudnn.allow_tf32


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_tf32_is_refused_on_the_cpu_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch, device: Any):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = Settings(methods=("sgd",), precision="tf32", device=device, tasks=1)
    said: list[str] = []
    with pytest.raises(UserError) as caught:
        prepare_run(settings, said.append)
    assert str(caught.value) == (
        "--precision tf32: this run computes on the CPU, and only GPUs have TF32; use --precision fp32, or a GPU"
    )
    assert said == []


@pytest.mark.parametrize(("capability", "has_it"), [((7, 5), False), ((8, 0), True), ((12, 1), True)])
def test_an_old_gpu_has_neither_tf32_nor_bfloat16(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], has_it: bool
):
    gpus = [Gpu("NVIDIA H200", 150 << 30, (9, 0)), Gpu("Tesla T4", 15 << 30, capability)]
    monkeypatch.setattr("benchmark.learning.precision.visible_gpus", lambda: gpus)
    cuda = torch.device("cuda")
    assert computes_bfloat16(cuda) is has_it
    if has_it:
        check_precision("tf32", cuda)
        return
    with pytest.raises(UserError) as caught:
        check_precision("tf32", cuda)
    assert str(caught.value) == (
        "--precision tf32: the Tesla T4 has no TF32, which GPUs have since Ampere (compute capability 8.0); use "
        "--precision fp32"
    )
