"""`methods`, `streams` and `backbones`: lists of names, everything about one method, and what a stream holds."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from typing import Any

from benchmark.backbones import backbones
from benchmark.cli.cost import SHAPE, shape_for
from benchmark.cli.options import Command
from benchmark.config import RUN_OPTIONS, Settings
from benchmark.declaration import make, options_of
from benchmark.report.text import aligned
from benchmark.streams import streams
from methods import methods
from methods.errors import UserError
from methods.options import parse_spec
from methods.registry import Registry

# The options of a run that its images depend on, beside the stream.
_OF_IMAGES = ("tasks", "image_size", "resize", "grey_range", "train_images", "test_images", "validation")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", nargs="?", metavar="NAME", help="a method, with options or without, or a group")


def _add_stream(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", nargs="?", metavar="SPEC", help="a stream, with options or without: tell what it holds")


def _methods(arguments: argparse.Namespace, argv: list[str]) -> int:
    named = arguments.spec
    if arguments.backbone and (named is None or named in methods.groups()):
        raise UserError("--backbone says on which network to describe one method; write methods NAME --backbone SPEC")
    if named is None:
        groups = [(name, f"group: {methods.summary(name)}") for name in methods.groups()]
        print(*aligned(_summaries(methods, methods.names()) + groups), sep="\n")
        return 0
    if named in methods.groups():
        print(*aligned(_summaries(methods, methods.members(named))), sep="\n")
        return 0
    from benchmark.planning.describe import shown_on

    method = parse_spec(named)
    return describe_command(Settings(methods=(method,), backbone=parse_spec(arguments.backbone or shown_on(method))))


def describe_command(settings: Settings) -> int:
    """Print everything about the one method of `settings`: returns the exit status."""
    from benchmark.planning.describe import describe, to_text

    print(to_text(describe(settings, shape_for(settings.backbone, None, **SHAPE))), end="")
    return 0


def _streams(arguments: argparse.Namespace, argv: list[str]) -> int:
    if arguments.spec is None:
        return _list(streams, arguments, argv)
    asked = {name: getattr(arguments, name) for name in _OF_IMAGES}
    # A run needs a method, a stream none.
    settings = make(Settings, options_of(Settings), asked, methods=methods.names()[:1], stream=arguments.spec)
    return stream_command(settings)


def stream_command(settings: Settings) -> int:
    """Print what the stream of `settings` holds, and what is left out of it: returns the exit status."""
    from benchmark.images.decode import Reading
    from benchmark.progress.terminal import loading
    from benchmark.streams.build import build_stream

    lines: list[str] = []
    with loading() as (note, warn):
        build_stream(
            settings.stream,
            tasks=settings.tasks,
            image_size=settings.image_size,
            train_images=settings.train_images,
            test_images=settings.test_images,
            validation=settings.validation,
            progress=note,
            warn=warn,
            reading=Reading(settings.resize, settings.grey_range),
            tell=lines.append,
        )
    print(*lines, sep="\n")
    return 0


def _list(registry: Registry[Any], arguments: argparse.Namespace, argv: list[str]) -> int:
    print(*aligned(_summaries(registry, registry.names())), sep="\n")
    return 0


def _summaries(registry: Registry[Any], names: list[str]) -> list[tuple[str, str]]:
    return [(name, registry.summary(name)) for name in names]


COMMANDS = (
    Command(
        "methods",
        "list the methods and groups of them, or tell everything about one",
        _methods,
        (replace(RUN_OPTIONS["backbone"], default=None), RUN_OPTIONS["plugin"]),
        _add_arguments,
    ),
    Command(
        "streams",
        "list the streams, or tell what one holds",
        _streams,
        (*(RUN_OPTIONS[name] for name in _OF_IMAGES), RUN_OPTIONS["plugin"]),
        _add_stream,
    ),
    Command("backbones", "list the backbones", partial(_list, backbones), (RUN_OPTIONS["plugin"],)),
)
