"""Makes the embedded backbones' weights: they learn to tell fractals apart, without photographs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Generator, Tensor, nn

from benchmark.backbones.mini.fractals import Systems, render, sample_systems
from benchmark.backbones.mini.network import MEAN, STD, MiniResNet
from benchmark.backbones.mini.objectives import Labels, LabelsAndTeacher
from benchmark.backbones.mini.vit import MiniViT
from benchmark.files import write_atomically
from methods.errors import UserError

_WEIGHT_DECAY = 0.05
_HELD_OUT_PER_CLASS = 10


@dataclass(frozen=True)
class Recipe:
    """How an embedded backbone is pretrained.

    Attributes:
        network: makes it with random weights; its attribute `features` is the length of the features.
        objective: what it learns.
        batch: pictures of a training step.
        learning_rate: the largest one.
        clip: the largest norm of the gradient; None for any.
    """

    network: Any
    objective: Callable[[Any, int, int], Labels]
    batch: int
    learning_rate: float
    clip: float | None = None


#: By the backbone's name.
RECIPES = {
    "mini": Recipe(MiniResNet, Labels, batch=128, learning_rate=6e-3),
    "mini-vit": Recipe(MiniViT, LabelsAndTeacher, batch=64, learning_rate=5e-3, clip=1.0),
}


@dataclass(frozen=True)
class PretrainResult:
    """What a pretraining made.

    Attributes:
        path: the safetensors file with the backbone's tensors.
        accuracy: on new pictures of the same classes, 0 to 1; chance is 1 / classes.
        classes, images_per_class, epochs, seed: as given to `pretrain`.
    """

    path: Path
    accuracy: float
    classes: int
    images_per_class: int
    epochs: int
    seed: int


def pretrain(
    out: Path,
    backbone: str = "mini",
    classes: int = 500,
    images_per_class: int = 150,
    epochs: int = 10,
    seed: int = 0,
) -> PretrainResult:
    """Train an embedded backbone on fractal classes and save it; the shipped weights are made with the defaults.

    AdamW, the learning rate rising for one epoch and falling to zero along a cosine. Takes about ten minutes on one CPU
    core for `mini`, about forty for `mini-vit`, and prints nothing unless standard error is a terminal.

    Args:
        out: the file to write, atomically; its header records settings and held-out accuracy under "pretraining".
        backbone: a name in RECIPES.
        classes: iterated function systems to tell apart.
        images_per_class: training pictures of each.
        epochs: passes over the training pictures.
        seed: decides the systems, the pictures, the initial weights and the order of training.

    Returns:
        where the file is and how well the network does on pictures it was not trained on.

    Raises:
        UserError: `out` exists and was not written by an earlier pretraining.
    """
    recipe = RECIPES[backbone]
    _refuse_other_file(Path(out))
    with _one_thread():
        generator = Generator().manual_seed(seed)
        systems = sample_systems(classes, generator)
        train, labels = _pictures(systems, images_per_class, generator)
        held_out, held_out_labels = _pictures(systems, _HELD_OUT_PER_CLASS, generator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # Channels-last is half again as fast on CPU at this batch size, and gives the same weights.
            network = recipe.network().to(memory_format=torch.channels_last)
            model = recipe.objective(network, network.features, classes)
        _fit(model, recipe, train, labels, epochs, generator)
        accuracy = _accuracy(model, held_out, held_out_labels)
    result = PretrainResult(Path(out), accuracy, classes, images_per_class, epochs, seed)
    _write(network, result)
    return result


def _refuse_other_file(out: Path) -> None:
    """Raise UserError if the file exists and `pretrain` did not write it."""
    if not out.exists():
        return
    try:
        with safe_open(out, "pt") as file:
            ours = "pretraining" in (file.metadata() or {})
    except (OSError, SafetensorError):
        ours = False
    if not ours:
        raise UserError(f"--out: {out} is there and was not made by `pretrain`; give another name")


@contextmanager
def _one_thread() -> Iterator[None]:
    # Another number of threads rounds sums differently, so the weights would depend on the machine's cores. For such a
    # small network a second thread would gain little.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _pictures(systems: Systems, per_class: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """uint8 [C * per_class, 3, 32, 32] and labels [C * per_class]."""
    labels = torch.arange(len(systems)).repeat_interleave(per_class)
    return render(systems, labels, generator), labels


def _normalised(images: Tensor) -> Tensor:
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def _fit(model: Labels, recipe: Recipe, images: Tensor, labels: Tensor, epochs: int, generator: Generator) -> None:
    batches = (len(labels) + recipe.batch - 1) // recipe.batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.learning_rate,
        total_steps=epochs * batches,
        pct_start=1 / max(epochs, 3),
        cycle_momentum=False,
    )
    model.train()
    with _progress() as progress:
        bar = progress.add_task("pretraining", total=epochs * batches, loss=float("nan"))
        for _ in range(epochs):
            for chosen in torch.randperm(len(labels), generator=generator).split(recipe.batch):
                loss = model.loss(_normalised(images[chosen]), labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                if recipe.clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
                optimizer.step()
                schedule.step()
                progress.update(bar, advance=1, loss=loss.item())


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.2f}"),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


@torch.no_grad()
def _accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    parts = zip(images.split(512), labels.split(512), strict=True)
    right = sum(int((model(_normalised(x)).argmax(1) == y).sum()) for x, y in parts)
    return right / len(labels)


def _write(network: nn.Module, result: PretrainResult) -> None:
    tensors = {
        name: tensor.contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    settings = {key: value for key, value in asdict(result).items() if key != "path"}
    # One key, because safetensors writes several in no fixed order, and the same run must give the same bytes.
    data = save(tensors, {"pretraining": json.dumps(settings)})
    result.path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(result.path, data)
