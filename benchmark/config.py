"""A run's settings: what may be asked for, checked before anything heavy is imported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from benchmark.backbones import backbones
from benchmark.files import folder_name
from benchmark.streams import streams
from methods import methods
from methods.errors import UserError
from methods.options import parse_spec

# A larger number is rather meant as a seed.
_MOST_SEEDS = 1000


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers. None stands for "as the stream or the method has it".

    Attributes:
        methods: specifications, one row each.
        stream, backbone: specifications.
        tasks: how many of the stream's tasks, from the first.
        image_size: height and width in pixels.
        train_images, test_images: per task, at most.
        epochs: passes over each task's training images.
        batch_size: images per training step.
        lr: initial learning rate of every method whose specification does not give one.
        seeds: one cell per method and seed.
        device: "auto", "cpu" or "cuda".
    """

    methods: tuple[str, ...]
    stream: str = "mini"
    backbone: str = "mini"
    tasks: int | None = None
    image_size: int | None = None
    train_images: int | None = None
    test_images: int | None = None
    epochs: int = 8
    batch_size: int = 32
    lr: float | None = None
    seeds: tuple[int, ...] = (0,)
    device: str = "auto"

    def __post_init__(self) -> None:
        if not self.methods:
            raise UserError("--methods names no method; write for example --methods clr,ewc,er")
        _refuse_repeated(self.methods)
        for text in self.methods:
            methods.check(parse_spec(text).name)
        folders: dict[str, str] = {}
        for text in self.methods:
            other = folders.setdefault(folder_name(text).casefold(), text)
            if other != text:
                raise UserError(f"--methods: '{other}' and '{text}' would share a folder; run one of them by itself")
        streams.check(parse_spec(self.stream).name)
        backbones.check(parse_spec(self.backbone).name)
        for option in ("tasks", "image_size", "train_images", "test_images", "epochs", "batch_size"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise UserError(f"--{option.replace('_', '-')} {value} must be at least 1")
        if self.batch_size < 2:
            raise UserError("--batch-size 1 must be at least 2: batch normalisation cannot train on one image")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise UserError(f"--lr {self.lr:g} must be a number above 0")
        if len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"--seeds {','.join(map(str, self.seeds))} gives a seed twice; give each once")

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def parse_methods(text: str) -> tuple[str, ...]:
    """`paper,er:memory=1000` -> the specifications that it means: a group's name stands for its members.

    What is named more than once by groups, or by a group and the list, appears once, where it is first named.

    Raises:
        UserError: the list itself names something twice, or gives options to a group.
    """
    items = [item for item in (part.strip() for part in text.split(",")) if item]
    _refuse_repeated(items)
    groups = methods.groups()
    for item in items:
        name = item.partition(":")[0]
        if name in groups and item != name:
            raise UserError(
                f"--methods: '{item}' gives options to a group; give them to a method, as in {name},er:memory=1000"
            )
    expanded = (methods.members(item) if item in groups else [item] for item in items)
    return tuple(dict.fromkeys(chain.from_iterable(expanded)))


def _refuse_repeated(texts: Sequence[str]) -> None:
    repeated = sorted({text for text in texts if texts.count(text) > 1})
    if repeated:
        raise UserError(f"--methods gives '{repeated[0]}' twice; give each specification once")


def parse_seeds(text: str) -> tuple[int, ...]:
    """`3` is the seeds 0, 1, 2; `4,7` those two.

    Raises:
        UserError: neither a number from 1 to 1000 nor a list of whole numbers from 0.
    """
    try:
        numbers = tuple(int(item) for item in text.split(",") if item.strip())
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 0 or (numbers == (0,) and "," not in text):
        raise UserError(f"--seeds {text} is neither how many seeds (3) nor a list of them (4,7)")
    if "," in text:
        return numbers
    if numbers[0] > _MOST_SEEDS:
        raise UserError(f"--seeds {text} is more than {_MOST_SEEDS} seeds; to name one seed, write {text},")
    return tuple(range(numbers[0]))
