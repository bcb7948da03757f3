"""The commands. This module imports nothing heavy: `--help` and a misspelt name are answered at once."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from datetime import datetime
from pathlib import Path

from benchmark.config import Settings, parse_list, parse_seeds
from methods.errors import UserError
from methods.registry import Registry, load_plugin

_STREAM_HELP = "NAME[:option=value...], see `python -m benchmark streams`"
_BACKBONE_HELP = "NAME[:option=value...], see `python -m benchmark backbones`"
_METHODS_HELP = "comma-separated specifications NAME[:option=value...], see `python -m benchmark methods`"


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        0: all went well; 1: a method failed, the others are in the tables; 2: the input cannot be used; 130: Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(argv)
    try:
        for path in getattr(arguments, "plugin", None) or ():
            load_plugin(path)
        return arguments.command(arguments, argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output, as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark",
        description="Compare continual-learning methods on one stream of tasks: what each keeps, and what each costs.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="learn the stream with each method, write tables and figures")
    run.set_defaults(command=_run)
    run.add_argument("--methods", required=True, metavar="LIST", help=_METHODS_HELP)
    run.add_argument("--stream", default="mini", metavar="SPEC", help=f"{_STREAM_HELP}; default mini")
    run.add_argument("--backbone", default="mini", metavar="SPEC", help=f"{_BACKBONE_HELP}; default mini")
    run.add_argument("--tasks", type=int, metavar="N", help="only the first N tasks of the stream")
    run.add_argument("--image-size", type=int, metavar="PIXELS", help="resize images to this square")
    run.add_argument("--train-images", type=int, metavar="N", help="per task, balanced over classes, 10 %% validation")
    run.add_argument("--test-images", type=int, metavar="N", help="per task, balanced over classes")
    _add_training(run)
    run.add_argument("--lr", type=float, help="initial learning rate of all methods; default: each method's own")
    run.add_argument("--seeds", default="1", metavar="N|LIST", help="how many seeds (3), or which (4,7); default 1")
    run.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default auto: a GPU if any")
    run.add_argument("--out", default="results", metavar="DIR", help="folder of runs; default results")
    run.add_argument("--name", help="the run's folder in DIR; the name of an existing run resumes it")
    run.add_argument("--keep-states", action="store_true", help="keep the shared and memory parts after every task")
    _add_plugin(run)

    cost = commands.add_parser("cost", help="storage and compute of each method, without data, weights or training")
    cost.set_defaults(command=_cost)
    cost.add_argument("--methods", required=True, metavar="LIST", help=_METHODS_HELP)
    cost.add_argument("--backbone", default="mini", metavar="SPEC", help=f"{_BACKBONE_HELP}; default mini")
    cost.add_argument("--tasks", type=int, default=8, metavar="N", help="length of the stream; default 8")
    cost.add_argument("--classes", type=int, default=10, metavar="N", help="classes per task; default 10")
    cost.add_argument("--images", type=int, default=540, metavar="N", help="training images per task; default 540")
    cost.add_argument("--image-size", type=int, default=224, metavar="PIXELS", help="default 224")
    _add_training(cost)
    _add_plugin(cost)

    report = commands.add_parser("report", help="make tables, figures and the page of a run again")
    report.set_defaults(command=_report)
    report.add_argument("run", metavar="RUN", help="a run's folder, or its name in results/")

    for name, help_text in (
        ("methods", "list the methods"),
        ("streams", "list the streams"),
        ("backbones", "list the backbones"),
    ):
        listing = commands.add_parser(name, help=help_text)
        listing.set_defaults(command=_list, listed=name)
        _add_plugin(listing)

    pretrain = commands.add_parser("pretrain", help="make the weights of the backbone `mini` again (minutes)")
    pretrain.set_defaults(command=_pretrain)
    pretrain.add_argument("--out", default="mini.safetensors", metavar="FILE", help="default mini.safetensors")
    return parser


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type=int, default=Settings.epochs, metavar="N", help="default %(default)s")
    parser.add_argument("--batch-size", type=int, default=Settings.batch_size, metavar="N", help="default %(default)s")


def _add_plugin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plugin", action="append", metavar="FILE", help="a Python file that registers methods")


def _run(arguments: argparse.Namespace, argv: list[str]) -> int:
    settings = Settings(
        methods=parse_list(arguments.methods),
        stream=arguments.stream,
        backbone=arguments.backbone,
        tasks=arguments.tasks,
        image_size=arguments.image_size,
        train_images=arguments.train_images,
        test_images=arguments.test_images,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        lr=arguments.lr,
        seeds=parse_seeds(arguments.seeds),
        device=arguments.device,
    )
    name = arguments.name or _default_name(settings)
    if not re.fullmatch(r"[\w.,=+-]+", name) or name in (".", ".."):
        raise UserError(f"--name {name}: write a folder's name of letters, digits and . , = + - _ only")
    folder = Path(arguments.out) / name

    from benchmark.commands import run_command

    resume = f"python -m benchmark {shlex.join(argv)}"
    if not arguments.name:
        resume += f" --name {name}"
    return run_command(settings, folder, argv, arguments.keep_states, resume)


def _default_name(settings: Settings) -> str:
    """The stream, the backbone and the time."""
    words = [re.sub(r"[^\w.-]+", "-", spec.partition(":")[0]) for spec in (settings.stream, settings.backbone)]
    return "-".join([*words, datetime.now().strftime("%Y%m%d-%H%M%S")])


def _cost(arguments: argparse.Namespace, argv: list[str]) -> int:
    for option in ("tasks", "classes", "images", "image_size"):
        value = getattr(arguments, option)
        least = {"tasks": 1, "classes": 2, "images": 2, "image_size": 8}[option]
        if value < least:
            raise UserError(f"--{option.replace('_', '-')} {value} must be at least {least}")
    settings = Settings(
        methods=parse_list(arguments.methods),
        backbone=arguments.backbone,
        tasks=arguments.tasks,
        image_size=arguments.image_size,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
    )
    from benchmark.commands import cost_command
    from benchmark.estimate import StreamShape

    shape = StreamShape(arguments.tasks, arguments.classes, arguments.images, arguments.image_size)
    return cost_command(settings, shape)


def _report(arguments: argparse.Namespace, argv: list[str]) -> int:
    path = Path(arguments.run)
    if not path.exists() and (Path("results") / path).exists():
        path = Path("results") / path
    if not path.is_dir():
        raise UserError(f"report: there is no run folder {arguments.run}; give its path, or its name in results/")

    from benchmark.commands import report_command

    return report_command(path)


def _list(arguments: argparse.Namespace, argv: list[str]) -> int:
    from benchmark.backbones import backbones
    from benchmark.streams import streams
    from methods import methods

    registries: dict[str, Registry] = {"methods": methods, "streams": streams, "backbones": backbones}
    registry = registries[arguments.listed]
    width = max(map(len, registry.names()))
    for name in registry.names():
        print(f"{name:{width}}  {registry.summary(name)}")
    return 0


def _pretrain(arguments: argparse.Namespace, argv: list[str]) -> int:
    out = Path(arguments.out)
    if out.is_dir():
        raise UserError(f"--out: {out} is a folder; give the name of a file")
    if not out.parent.is_dir():
        raise UserError(f"--out: there is no folder {out.parent}; make it, or write elsewhere")

    from benchmark.pretrain import pretrain

    result = pretrain(out)
    print(f"{result.path}: accuracy on new pictures {result.accuracy:.3f}, {result.classes} classes")
    return 0
