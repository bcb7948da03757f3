"""Everything that is checked and loaded before anything trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmark.backbones import backbones
from benchmark.compilation import check_compiler
from benchmark.config import Settings
from benchmark.model import Network
from benchmark.streams.base import Stream
from benchmark.streams.build import build_stream
from methods.configured import ConfiguredMethod, configure
from methods.errors import UserError
from methods.options import construct, parse_spec


@dataclass(frozen=True)
class Prepared:
    """What a run needs: its settings, and what they mean."""

    settings: Settings
    methods: tuple[ConfiguredMethod, ...]
    stream: Stream
    backbone: Network
    device: torch.device


def prepare_run(settings: Settings, note: Callable[[str], None], tuning: bool = False) -> Prepared:
    """Load the stream and the backbone, and check the methods' options.

    Args:
        note: called with one line of text before anything that takes time.
        tuning: whether methods' options are to be chosen; see build_stream.

    Raises:
        UserError: something cannot be used.
    """
    configured = tuple(configure(text, settings.lr) for text in settings.methods)
    device = choose_device(settings.device)
    if settings.compile:
        note("trying the compiler")
        check_compiler(device)
    spec = parse_spec(settings.backbone)
    source = construct(backbones.get(spec.name), spec)
    note(f"loading backbone {settings.backbone}")
    backbone = source.network()
    stream = build_stream(
        settings.stream,
        tasks=settings.tasks,
        image_size=settings.image_size,
        train_images=settings.train_images,
        test_images=settings.test_images,
        tuning=tuning,
        progress=note,
    )
    return Prepared(settings, configured, stream, backbone, device)


def choose_device(name: str) -> torch.device:
    """The device that "auto", "cpu" or "cuda" means here.

    Raises:
        UserError: there is no GPU, but one was asked for.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here; use --device cpu, or auto")
    return torch.device(name)
