"""Every method and all its variants on a pretended GPU, and faults that must be seen there, planted one by one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.online_ewc import OnlineEWC
from baselines.piggyback import ThresholdMask
from baselines.sgd import SGD
from baselines.shared.gates import Gates
from baselines.shared.memory import Memory
from benchmark.checks.base import WrongError
from benchmark.checks.gpu import learn_on_gpu, runs_on_a_gpu
from benchmark.checks.pretended.cuda import pretended_gpu
from benchmark.checks.pretended.log import DeviceError, WaitError
from benchmark.checks.subject import MethodSubject, flat
from benchmark.checks.tiny import make_task
from benchmark.config import AUGMENTATIONS
from benchmark.images import augment, batches
from benchmark.images.batches import Batches
from benchmark.learning import learner
from benchmark.learning.learner import Cell
from benchmark.learning.strategy import Strategy
from benchmark.learning.training import Training
from benchmark.streams.base import Stream
from benchmark.streams.columns import in_columns
from methods import Step, methods
from methods.configured import configure
from methods.heads import Heads
from methods.network import Network
from methods.rows import Rows
from methods.scenarios import Scenario


def _load() -> ModuleType:
    """The helpers beside this file, which is in no package."""
    spec = importlib.util.spec_from_file_location("pretended_cuda", Path(__file__).with_name("pretended_cuda.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


helpers = _load()
VARIANTS = tuple(helpers.variants())


def subject(spec: str, size: int = 8) -> MethodSubject:
    """A method on three tasks of three batches each.

    Which logits are trained matters where their classes compete, and some methods answer only there.
    """
    tasks = tuple(make_task(number, classes, size, train=24) for number, classes in ((1, 3), (2, 2), (3, 4)))
    known = "task" in configure(spec).cls.scenarios
    scenario: Scenario = "class" if ":logits=" in spec or not known else "task"
    return MethodSubject(configure(spec), in_columns(Stream("tiny", tasks), scenario).tasks, scenario)


def test_variants() -> None:
    """Words of declared types are found."""
    assert {"sgd:bn=frozen", "sgd:bn=per-task", "ewc:fisher=exact", "psp:contexts=stored", "er:bn=frozen"} <= {
        *VARIANTS
    }
    assert "er:bn=per-task" not in VARIANTS
    assert {*methods.members("all"), *methods.members("class"), "lora:targets=all", "vpt:depth=shallow"} <= {*VARIANTS}


@pytest.mark.parametrize("spec", [spec for spec in VARIANTS if ":" in spec])
def test_a_gpu_that_holds_the_images(spec: str) -> None:
    """Beside methods without options, which tests/test_contract.py checks."""
    asked = subject(spec)
    advice = runs_on_a_gpu(asked, epochs=1)
    assert advice is None or (asked.foreign and advice.startswith("on a GPU it waits in each step: "))


@pytest.fixture
def many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches of the tiny tasks are a chunk, so that a thread reads the next one."""
    monkeypatch.setattr(batches, "CHUNK_BYTES", 2 * 8 * 3 * 8 * 8)


@pytest.mark.parametrize("spec", VARIANTS)
def test_a_gpu_that_does_not_hold_the_images(spec: str, many_chunks: None) -> None:
    """They are augmented, and the network computes in bfloat16."""
    asked = subject(spec)
    advice = runs_on_a_gpu(asked, free=0, epochs=1, augment=AUGMENTATIONS, precision="bf16")
    assert advice is None or asked.foreign


@pytest.mark.parametrize("free", [0, 1 << 30])
def test_the_gpu_computes_what_the_cpu_does(free: int, many_chunks: None) -> None:
    """The same images in the same order, on both ways to the GPU."""
    asked = subject("er")
    with pretended_gpu(free) as log:
        learned = learn_on_gpu(asked.cell(), asked.tasks, asked.training(augment=AUGMENTATIONS), log)
    expected = flat(asked.fold(asked.cell(), asked.tasks, augment=AUGMENTATIONS)[-1].state)
    found = flat(learned[-1].state)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


# Kernels.

#: The most launches of a step over those of sgd.
MOST = {
    **dict.fromkeys(("clr", "clr-full", "clr-mixed"), 1.3),
    **dict.fromkeys(("ewc", "online-ewc", "si"), 1.2),
    # After each convolution wider than 1x1, two others with biases, a ReLU and a sum.
    "adapter": 2.0,
    "lae": 2.0,
    # The weights and biases of all layers are multiplied and moved, and those of ResNet-18 are 62 tensors.
    "ssf": 2.5,
    "hat": 2.0,
    "agem": 2.2,
    # After each convolution, two others whose groups differ, so that each has kernels of its own, and two sums.
    "eft": 1.8,
    # After each convolution, another one and a gate: a mean, batch normalisation, a sigmoid and three products. Each
    # waits for the one before, and no two are one operator of torch. The gradients need 9 operators.
    "ccll": 3.0,
    # The replayed images pass through two more networks, the means of the weights.
    "cls-er": 2.5,
}
MOST_OF_OTHERS = 1.7


@lru_cache(maxsize=1)
def narrow_network() -> Network:
    return helpers.narrow_resnet18()


@lru_cache
def launches(spec: str) -> int:
    """Of a step of the second task, on a narrow ResNet-18."""
    method = configure(spec)
    cell = Cell(narrow_network(), method.make, 3, 0, torch.device("cpu"))
    tasks = [make_task(number, 3, 32, train=8) for number in (1, 2)]
    return helpers.launches_per_step(cell, tasks, Training(method.recipe, epochs=1, batch_size=4))


def test_launches_of_fine_tuning() -> None:
    """A bare step of a ResNet-18 has about 160, which were counted by hand."""
    assert 155 <= launches("sgd") <= 185


def makes_steps(spec: str) -> bool:
    """In the second task."""
    method = configure(spec).make()
    method.task = 2
    return method.trains_task()


@pytest.mark.parametrize("spec", filter(makes_steps, methods.members("all")))
def test_launches(spec: str) -> None:
    """A step of a small network takes as long on a GPU as its launches."""
    assert launches(spec) <= MOST.get(spec, MOST_OF_OTHERS) * launches("sgd")


# Planted faults.

Plant = Callable[[pytest.MonkeyPatch], None]


def in_step(fault: Callable[[SGD, Step], object]) -> Plant:
    """A step of fine-tuning does this too."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        def before_backward(method: SGD, step: Step) -> None:
            fault(method, step)

        patch.setattr(SGD, "before_backward", before_backward)

    return plant


def after(cls: type, name: str, fault: Callable[..., Any]) -> Plant:
    """Do this after a method of a class; its result, if any, replaces that of the method."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = getattr(cls, name)

        def both(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            changed = fault(self, result)
            return result if changed is None else changed

        patch.setattr(cls, name, both)

    return plant


def labels_here(self: Batches, read: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in read:
        yield images, torch.zeros(len(labels), dtype=torch.int64)


def unpinned(self: Batches, read: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    images, labels = read
    return images.clone(), labels.clone()


def kept_here(self: OnlineEWC, _: None) -> None:
    self.kept = {name: tensor.cpu() for name, tensor in self.kept.items()}


def spare(self: Heads, _: None) -> None:
    self.spare = torch.zeros(2)


def losses_here(self: Strategy, _: None) -> None:
    self._step_losses = self._step_losses.cpu()


#: What is planted, where it is seen, how, and the words for it.
FAULTS: dict[str, tuple[str, Plant, type[Exception], str]] = {
    "the layout of the heads on the CPU": (
        "er",
        after(Heads, "add", lambda heads, _: setattr(heads, "layout", heads.layout.cpu())),
        WrongError,
        "'network.heads.layout' is on the CPU when a task answers on a GPU",
    ),
    "a head on the CPU": (
        "sgd",
        after(Heads, "add", lambda heads, _: setattr(heads, "bias", torch.nn.Parameter(heads.bias.detach().cpu()))),
        DeviceError,
        "gets tensors on the GPU and, of the shape [3], on the CPU",
    ),
    "labels of batches on the CPU": (
        "sgd",
        after(Batches, "__iter__", labels_here),
        DeviceError,
        "aten.nll_loss",
    ),
    "images of batches that are not pinned": (
        "sgd",
        after(Batches, "_read", unpinned),
        WaitError,
        "a copy from the CPU to the GPU of memory that is not pinned",
    ),
    "replayed samples on the CPU": (
        "er",
        after(Memory, "draw", lambda memory, drawn: drawn | {"tasks": torch.ones_like(drawn["tasks"], device="cpu")}),
        DeviceError,
        "aten.cat.default gets",
    ),
    "a reservoir on the CPU": (
        "er",
        after(Rows, "take", lambda rows, taken: {name: torch.ones_like(r, device="cpu") for name, r in taken.items()}),
        DeviceError,
        "aten.cat.default gets",
    ),
    "a mask on the CPU": (
        "piggyback",
        after(ThresholdMask, "step", lambda mask, values: torch.ones_like(values, device="cpu")),
        DeviceError,
        "aten.mul.Tensor gets",
    ),
    "a gate on the CPU": (
        "hat",
        after(Gates, "values", lambda gates, values: torch.ones(values.shape)),
        DeviceError,
        "aten.mul.Tensor gets",
    ),
    "draws of the augmentation on the CPU": (
        "sgd",
        lambda patch: patch.setattr(augment, "_on", lambda images, draws: draws),
        DeviceError,
        "aten.where.self gets",
    ),
    "what is kept on the CPU": (
        "online-ewc",
        after(OnlineEWC, "before_training_exp", kept_here),
        DeviceError,
        "gets tensors on the GPU and, of the shape [214], on the CPU",
    ),
    "the losses of an epoch on the CPU": (
        "sgd",
        after(Strategy, "_before_training_epoch", losses_here),
        WaitError,
        "a copy from the GPU to the CPU",
    ),
    "a state on the GPU": (
        "online-ewc",
        lambda patch: patch.setattr(learner, "detached", lambda tensor: tensor.detach().clone()),
        WrongError,
        "memory-3/anchor' is stored on the GPU",
    ),
    "a network that is not wholly on the GPU": (
        "sgd",
        after(Heads, "add", spare),
        WrongError,
        "'network.heads.spare' is on the CPU when a task answers on a GPU",
    ),
    "a value that is read": ("sgd", in_step(lambda m, step: step.loss.item()), WaitError, "reading a value"),
    "a condition": ("sgd", in_step(lambda m, step: bool(step.loss > 0)), WaitError, "reading a value"),
    "a list": ("sgd", in_step(lambda m, step: step.labels.tolist()), WaitError, "tolist"),
    "a boolean mask": (
        "sgd",
        in_step(lambda m, step: step.logits[step.labels > 0]),
        WaitError,
        "indexing by a boolean mask",
    ),
    "an index on the CPU": (
        "sgd",
        in_step(lambda m, step: step.logits[torch.randperm(len(step.labels), generator=m.generator)]),
        WaitError,
        "by a tensor on the CPU",
    ),
    "classes that occur": ("sgd", in_step(lambda m, step: step.labels.unique()), WaitError, "unique"),
    "a blocking copy to the GPU": (
        "sgd",
        in_step(lambda m, step: torch.tensor([1.0], device=step.device)),
        WaitError,
        "a copy from the CPU to the GPU without",
    ),
    "a copy to the GPU of much memory that is not pinned": (
        "sgd",
        in_step(lambda m, step: torch.zeros(1 << 15).to(step.device, non_blocking=True)),
        WaitError,
        "a copy from the CPU to the GPU of memory that is not pinned",
    ),
    "a copy to the CPU": ("sgd", in_step(lambda m, step: step.logits.detach().cpu()), WaitError, "GPU to the CPU"),
    "a generator of the CPU": (
        "sgd",
        in_step(lambda m, step: torch.rand(2, device=step.device, generator=m.generator)),
        DeviceError,
        "by a generator of the CPU",
    ),
    "an array of NumPy": ("sgd", in_step(lambda m, step: step.logits.detach().numpy()), DeviceError, "NumPy gets"),
    "two devices": ("sgd", in_step(lambda m, step: step.logits + torch.zeros(1)), DeviceError, "aten.add.Tensor gets"),
    "a wait for the whole GPU": (
        "sgd",
        in_step(lambda m, step: torch.cuda.synchronize()),
        WaitError,
        "torch.cuda.synchronize",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, plant, kind, says = FAULTS[fault]
    # Images so large that a batch is no small copy, which would not wait.
    asked = subject(spec, size=32)
    plant(monkeypatch)
    with pytest.raises(kind) as raised:
        runs_on_a_gpu(asked, free=0, augment=("flip",))
    assert says in str(raised.value)
    if isinstance(raised.value, WaitError):
        assert "in each step" in str(raised.value)


def test_without_a_fault_nothing_is_seen() -> None:
    """The same settings as for the planted faults."""
    for spec in {spec for spec, *_ in FAULTS.values()}:
        assert runs_on_a_gpu(subject(spec, size=32), free=0, augment=("flip",)) is None
