"""The commands. This module imports nothing heavy: `--help` and a misspelt name are answered at once."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import sys
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from benchmark.backbones import backbones
from benchmark.config import Execution, Settings, parse_methods, parse_seeds
from benchmark.executors.server import warm_up
from benchmark.streams import streams
from benchmark.text import aligned
from benchmark.tuned import tuned_methods
from methods import methods
from methods.errors import UserError
from methods.registry import Registry, load_plugin

T = TypeVar("T", Settings, Execution)

_STREAM_HELP = "NAME[:option=value...], see `python -m benchmark streams`"
_BACKBONE_HELP = "NAME[:option=value...], see `python -m benchmark backbones`"
_METHODS_HELP = "comma-separated: NAME[:option=value...], or a group as `all`; see `python -m benchmark methods`"

# The stream of which the cost is told, unless the user says otherwise.
_SHAPE = {"tasks": 8, "classes": 10, "images": 540, "image_size": 224}


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
    _add_stream(run)
    run.add_argument("--tasks", type=int, metavar="N", help="only the first N tasks of the stream")
    run.add_argument("--test-images", type=int, metavar="N", help="per task, balanced over classes")
    _add_training(run)
    run.add_argument("--lr", type=float, help="initial learning rate of all methods; default: each method's own")
    run.add_argument("--seeds", default="1", metavar="N|LIST", help="how many seeds (3), or which (4,7); default 1")
    run.add_argument("--orders", type=int, default=1, metavar="N", help="task orders, the stream's first; default 1")
    _add_device(run)
    run.add_argument("--out", default="results", metavar="DIR", help="folder of runs; default results")
    run.add_argument("--name", help="the run's folder in DIR; the name of an existing run resumes it")
    run.add_argument("--tuned", metavar="FILE", help="take the methods' options that `tune` wrote there")
    run.add_argument("--keep-states", action="store_true", help="keep the shared and memory parts after every task")
    _add_plugin(run)
    speed = run.add_argument_group("how it is computed")
    speed.add_argument("--augment", default="", metavar="LIST", help="random changes of training images: flip,crop")
    speed.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of forward passes; default fp32")
    speed.add_argument("--compile", action="store_true", help="compile the backbone (torch.compile)")
    speed.add_argument("--verify-evaluations", action="store_true", help="evaluate again what is known, and compare")
    workers = run.add_argument_group("how it is spread")
    workers.add_argument("--jobs", type=int, metavar="N", help="cells at once; default: what threads or GPUs allow")
    workers.add_argument("--gpus-per-cell", type=float, metavar="SHARE", help="0.25: four cells on a GPU; default 1")
    workers.add_argument(
        "--parallel-tasks",
        action=argparse.BooleanOptionalAction,
        help="tasks that do not depend on each other at once, same results; default: where there are several jobs",
    )
    workers.add_argument("--executor", choices=("local", "ray"), default="local", help="default local: processes")
    workers.add_argument("--address", metavar="HOST:PORT", help="of a Ray cluster, or auto; default: one made here")

    cost = commands.add_parser("cost", help="storage and compute of each method, without data, weights or training")
    cost.set_defaults(command=_cost, **_SHAPE)
    cost.add_argument("--methods", required=True, metavar="LIST", help=_METHODS_HELP)
    cost.add_argument("--backbone", default="mini", metavar="SPEC", help=f"{_BACKBONE_HELP}; default mini")
    cost.add_argument("--tasks", type=int, metavar="N", help="length of the stream; default %(default)s")
    cost.add_argument("--classes", type=int, metavar="N", help="classes per task; default %(default)s")
    cost.add_argument("--images", type=int, metavar="N", help="training images per task; default %(default)s")
    cost.add_argument("--image-size", type=int, metavar="PIXELS", help="default %(default)s")
    _add_training(cost)
    _add_plugin(cost)

    tune = commands.add_parser("tune", help="choose each method's options on validation images")
    tune.set_defaults(command=_tune)
    tune.add_argument("--methods", required=True, metavar="LIST", help=_METHODS_HELP)
    tune.add_argument("--budget", required=True, type=int, metavar="N", help="trials per method; defaults come first")
    tune.add_argument("--tuning-tasks", type=int, default=3, metavar="K", help="on the first K tasks; default 3")
    _add_stream(tune)
    _add_training(tune)
    tune.add_argument("--seed", type=int, default=100, metavar="N", help="not one of the runs'; default %(default)s")
    _add_device(tune)
    tune.add_argument("--out", default="tuned.json", metavar="FILE", help="is made or added to; default %(default)s")
    _add_plugin(tune)

    report = commands.add_parser("report", help="make tables, figures and the page of a run again")
    report.set_defaults(command=_report)
    report.add_argument("run", metavar="RUN", help="a run's folder, or its name in results/")

    about = commands.add_parser("methods", help="list the methods and groups of them, or tell everything about one")
    about.set_defaults(command=_methods)
    about.add_argument("spec", nargs="?", metavar="NAME", help="a method, with options or without, or a group")
    about.add_argument("--backbone", metavar="SPEC", help=f"{_BACKBONE_HELP}; default mini")
    _add_plugin(about)

    for name in ("streams", "backbones"):
        listing = commands.add_parser(name, help=f"list the {name}")
        listing.set_defaults(command=_list, listed=name)
        _add_plugin(listing)

    cache = commands.add_parser("cache", help="list the decoded images that are kept on disk, or remove them")
    cache.set_defaults(command=_cache)
    cache.add_argument("--clear", action="store_true", help="remove all of them; runs decode again what they need")

    pretrain = commands.add_parser("pretrain", help="make the weights of the backbone `mini` again (minutes)")
    pretrain.set_defaults(command=_pretrain)
    pretrain.add_argument("--out", default="mini.safetensors", metavar="FILE", help="default mini.safetensors")
    return parser


def _add_stream(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stream", default="mini", metavar="SPEC", help=f"{_STREAM_HELP}; default mini")
    parser.add_argument("--backbone", default="mini", metavar="SPEC", help=f"{_BACKBONE_HELP}; default mini")
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help="resize images to this square")
    parser.add_argument("--train-images", type=int, metavar="N", help="per task, balanced, 10 %% of them validation")


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default auto: a GPU if any")


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type=int, default=Settings.epochs, metavar="N", help="default %(default)s")
    parser.add_argument("--batch-size", type=int, default=Settings.batch_size, metavar="N", help="default %(default)s")


def _add_plugin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plugin", action="append", metavar="FILE", help="a Python file that registers methods")


def _run(arguments: argparse.Namespace, argv: list[str]) -> int:
    chosen = parse_methods(arguments.methods)
    if arguments.tuned:
        if arguments.lr is not None:
            raise UserError("--lr and --tuned both say what the learning rates are; give one of them")
        chosen = tuned_methods(chosen, Path(arguments.tuned))
    settings = _from_options(
        Settings,
        arguments,
        methods=chosen,
        seeds=parse_seeds(arguments.seeds),
        augment=tuple(item for item in arguments.augment.split(",") if item),
    )
    execution = _from_options(Execution, arguments, plugins=tuple(arguments.plugin or ()))
    name = arguments.name or _default_name(settings)
    if not re.fullmatch(r"[\w.,=+-]+", name) or name in (".", ".."):
        raise UserError(f"--name {name}: write a folder's name of letters, digits and . , = + - _ only")
    folder = Path(arguments.out) / name
    if execution.executor == "local" and execution.jobs != 1:
        warm_up()

    from benchmark.commands import run_command

    resume = f"python -m benchmark {shlex.join(argv)}"
    if not arguments.name:
        resume += f" --name {name}"
    return run_command(settings, execution, folder, argv, resume)


def _from_options(cls: type[T], arguments: argparse.Namespace, **others: Any) -> T:
    """A `cls` of the options that are called as its fields, and of `others`."""
    named = {field.name for field in fields(cls)} & vars(arguments).keys()
    return cls(**{name: getattr(arguments, name) for name in named} | others)


def _default_name(settings: Settings) -> str:
    """The stream, the backbone and the time."""
    words = [re.sub(r"[^\w.-]+", "-", spec.partition(":")[0]) for spec in (settings.stream, settings.backbone)]
    return "-".join([*words, datetime.now().strftime("%Y%m%d-%H%M%S")])


def _cost(arguments: argparse.Namespace, argv: list[str]) -> int:
    _check_least(arguments, tasks=1, classes=2, images=2, image_size=8)
    settings = _from_options(Settings, arguments, methods=parse_methods(arguments.methods))

    from benchmark.commands import cost_command
    from benchmark.estimate import StreamShape

    shape = StreamShape(arguments.tasks, arguments.classes, arguments.images, arguments.image_size)
    return cost_command(settings, shape)


def _check_least(arguments: argparse.Namespace, **least: int) -> None:
    """Refuse an option below its least value."""
    for option, value in least.items():
        given = getattr(arguments, option)
        if given < value:
            raise UserError(f"--{option.replace('_', '-')} {given} must be at least {value}")


def _tune(arguments: argparse.Namespace, argv: list[str]) -> int:
    _check_least(arguments, budget=1, tuning_tasks=1, seed=0)
    settings = _from_options(
        Settings,
        arguments,
        methods=parse_methods(arguments.methods),
        tasks=arguments.tuning_tasks,
        seeds=(arguments.seed,),
    )
    out = _output_file(arguments.out)
    if importlib.util.find_spec("optuna") is None:
        raise UserError('tune needs Optuna, which is not installed; install it with: pip install ".[tune]"')

    from benchmark.commands import tune_command

    return tune_command(settings, arguments.budget, out)


def _output_file(path: str) -> Path:
    """A file that can be written.

    Raises:
        UserError: it cannot.
    """
    out = Path(path)
    if out.is_dir():
        raise UserError(f"--out: {out} is a folder; give the name of a file")
    if not out.parent.is_dir():
        raise UserError(f"--out: there is no folder {out.parent}; make it, or write elsewhere")
    return out


def _report(arguments: argparse.Namespace, argv: list[str]) -> int:
    path = Path(arguments.run)
    if not path.exists() and (Path("results") / path).exists():
        path = Path("results") / path
    if not path.is_dir():
        raise UserError(f"report: there is no run folder {arguments.run}; give its path, or its name in results/")

    from benchmark.commands import report_command

    return report_command(path)


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
    settings = Settings(methods=(named,), backbone=arguments.backbone or "mini")

    from benchmark.commands import describe_command
    from benchmark.estimate import StreamShape

    return describe_command(settings, StreamShape(**_SHAPE))


def _list(arguments: argparse.Namespace, argv: list[str]) -> int:
    registries: dict[str, Registry] = {"streams": streams, "backbones": backbones}
    registry = registries[arguments.listed]
    print(*aligned(_summaries(registry, registry.names())), sep="\n")
    return 0


def _summaries(registry: Registry, names: list[str]) -> list[tuple[str, str]]:
    return [(name, registry.summary(name)) for name in names]


def _cache(arguments: argparse.Namespace, argv: list[str]) -> int:
    from benchmark.cache import clear_command, list_command

    return clear_command() if arguments.clear else list_command()


def _pretrain(arguments: argparse.Namespace, argv: list[str]) -> int:
    out = _output_file(arguments.out)

    from benchmark.pretrain import pretrain

    result = pretrain(out)
    print(f"{result.path}: accuracy on new pictures {result.accuracy:.3f}, {result.classes} classes")
    return 0
