"""The commands. This module imports nothing heavy: `--help` and a misspelt name are answered at once."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeVar

from benchmark.backbones import backbones
from benchmark.config import Execution, Settings, check_seeds, parse_methods, parse_seeds
from benchmark.files import MANIFEST, folder_name, refuse_foreign
from benchmark.presets import PRESETS
from benchmark.results.reference import check_reference
from benchmark.storage.tuned import tuned_methods
from benchmark.streams import streams
from benchmark.text import aligned, printable
from benchmark.workers import warm_up
from methods import methods
from methods.errors import UserError
from methods.options import split_specs
from methods.paths import given_path
from methods.registry import Registry, load_plugin

T = TypeVar("T", Settings, Execution)

_ORDERS_HELP = (
    "task orders, the stream's first; as many as seeds: each seed in an order of its own, else each in each; default 1"
)
_STREAM_HELP = "NAME[:option=value...], see `python -m benchmark streams`"
_BACKBONE_HELP = "NAME[:option=value...], see `python -m benchmark backbones`"
_METHODS_HELP = (
    "comma-separated: NAME[:option=value...], or a group as `all`; a comma in a value is written \\,; "
    "see `python -m benchmark methods`"
)

# The stream of which the cost is told, unless the user says otherwise.
_SHAPE = {"tasks": 8, "classes": 10, "images": 540, "image_size": 224}


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        0: all went well; 1: a method failed, the others are in the tables; 2: the input cannot be used; 130: Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments = parse(argv)
        for registry in (methods, streams, backbones):
            for complaint in registry.complaints():
                print(f"warning: {printable(complaint)}", file=sys.stderr)
        for path in getattr(arguments, "plugin", None) or ():
            load_plugin(path)
        return arguments.command(arguments, argv)
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def parse(argv: list[str], kind: type[argparse.ArgumentParser] = argparse.ArgumentParser) -> argparse.Namespace:
    """The options of a command line.

    Args:
        argv: without the program's name.
        kind: says what happens to arguments that cannot be parsed.

    Raises:
        UserError: an argument is no text, which could be printed or written nowhere.
    """
    for text in argv:
        if not text.isprintable() and ("\0" in text or text != text.encode(errors="replace").decode()):
            raise UserError(f"{ascii(text)[1:-1]} is not text in UTF-8 without NUL characters; write or rename it so")
    arguments = _parser({}, kind).parse_args(argv)
    preset = getattr(arguments, "preset", None)
    # Once more with other defaults: what is written out wins over the preset, wherever it stands.
    return _parser(PRESETS[preset], kind).parse_args(argv) if preset else arguments


def _parser(defaults: Mapping[str, Any], kind: type[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """The parser of all commands.

    Args:
        defaults: of options of runs, in place of their own.
        kind: of parser, for all commands.
    """
    parser = kind(
        prog="python -m benchmark",
        description="Compare continual-learning methods on one stream of tasks: what each keeps, and what each costs.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="learn the stream with each method, write tables and figures")
    run.set_defaults(command=_run)
    run.add_argument("--methods", required=True, metavar="LIST", help=_METHODS_HELP)
    _add_backbone(run)
    _add_run(run, defaults)
    _add_reference(run, "the first one")

    backbones_compare = commands.add_parser("backbones-compare", help="run one method on several backbones")
    backbones_compare.set_defaults(command=_compare_backbones)
    backbones_compare.add_argument("--method", required=True, metavar="SPEC", help="NAME[:option=value...]")
    listed = f"comma-separated: {_BACKBONE_HELP}"
    backbones_compare.add_argument("--backbones", required=True, metavar="LIST", help=listed)
    _add_run(backbones_compare, defaults)

    cost = commands.add_parser("cost", help="storage and compute of each method, without data, weights or training")
    cost.set_defaults(command=_cost, **_SHAPE)
    cost.add_argument("--methods", required=True, metavar="LIST", help=_METHODS_HELP)
    _add_backbone(cost)
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
    _add_backbone(tune)
    _add_stream(tune)
    _add_training(tune)
    tune.add_argument("--seed", type=int, default=100, metavar="N", help="not one of the runs'; default %(default)s")
    _add_device(tune)
    tune.add_argument("--out", default="tuned.json", metavar="FILE", help="is made or added to; default %(default)s")
    _add_plugin(tune)

    report = commands.add_parser("report", help="make tables, figures and the page of a run again")
    report.set_defaults(command=_report)
    report.add_argument("run", metavar="RUN", help="a run's folder, or its name in results/")
    _add_reference(report, "as before")

    compare = commands.add_parser("compare", help="join runs on the same stream, with ranks and paired tests")
    compare.set_defaults(command=_compare)
    compare.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, or its name in results/")
    compare.add_argument("--out", default="results", metavar="DIR", help="folder of the comparison; default results")
    compare.add_argument("--name", help="the comparison's folder in DIR; default compare- and the time")
    _add_reference(compare, "that of the first run")

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


def _add_run(parser: argparse.ArgumentParser, defaults: Mapping[str, Any]) -> None:
    """What one run and several have in common."""
    parser.add_argument("--preset", choices=tuple(PRESETS), help="many options at once; those that are given win")
    _add_stream(parser)
    parser.add_argument("--tasks", type=int, metavar="N", help="only the first N tasks of the stream")
    parser.add_argument("--test-images", type=int, metavar="N", help="per task, balanced over classes")
    _add_training(parser)
    parser.add_argument("--lr", type=float, help="initial learning rate of all methods; default: each method's own")
    parser.add_argument("--optimizer", choices=("sgd", "adam"), help="of all methods; default: each method's own")
    parser.add_argument("--schedule", choices=("constant", "step", "cosine"), help="of their learning rates, likewise")
    parser.add_argument("--seeds", default="1", metavar="N|LIST", help="how many seeds (3), or which (4,7); default 1")
    parser.add_argument("--orders", type=int, default=1, metavar="N", help=_ORDERS_HELP)
    _add_device(parser)
    parser.add_argument("--out", default="results", metavar="DIR", help="folder of runs; default results")
    parser.add_argument("--name", help="the run's folder in DIR; the name of an existing run resumes it")
    parser.add_argument("--tuned", metavar="FILE", help="take the methods' options that `tune` wrote there")
    parser.add_argument("--keep-states", action="store_true", help="keep the shared and memory parts after every task")
    parser.add_argument("--tracker", choices=("tensorboard", "wandb", "mlflow"), help="send curves and tables there")
    _add_plugin(parser)
    fair = parser.add_argument_group("what is equal for all methods")
    fair.add_argument("--equal-memory", metavar="METHOD", help="replay memories of the bytes that METHOD adds in all")
    fair.add_argument("--equal-compute", metavar="METHOD", help="epochs that cost as much as METHOD with --epochs")
    speed = parser.add_argument_group("how it is computed")
    speed.add_argument("--augment", default="", metavar="LIST", help="random changes of training images: flip,crop")
    speed.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of forward passes; default fp32")
    speed.add_argument("--compile", action="store_true", help="compile the backbone (torch.compile)")
    speed.add_argument("--verify-evaluations", action="store_true", help="evaluate again what is known, and compare")
    workers = parser.add_argument_group("how it is spread")
    workers.add_argument("--jobs", type=int, metavar="N", help="cells at once; default: what threads or GPUs allow")
    workers.add_argument("--gpus-per-cell", type=float, metavar="SHARE", help="0.25: four cells on a GPU; default 1")
    workers.add_argument(
        "--parallel-tasks",
        action=argparse.BooleanOptionalAction,
        help="tasks that do not depend on each other at once, same results; default: where there are several jobs",
    )
    workers.add_argument("--executor", choices=("local", "ray"), default="local", help="default local: processes")
    workers.add_argument("--address", metavar="HOST:PORT", help="of a Ray cluster, or auto; default: one made here")
    parser.set_defaults(**defaults)


def _add_backbone(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backbone", default="mini", metavar="SPEC", help=f"{_BACKBONE_HELP}; default mini")


def _add_reference(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--reference",
        metavar="METHOD",
        help=f"test each method against this one, called as in the tables, or `all` for every two; default: {default}",
    )


def _add_stream(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stream", default="mini", metavar="SPEC", help=f"{_STREAM_HELP}; default mini")
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help="resize images to this square")
    parser.add_argument("--train-images", type=int, metavar="N", help="per task, balanced, 10 %% validation by default")


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default auto: a GPU if any")


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type=int, default=Settings.epochs, metavar="N", help="default %(default)s")
    parser.add_argument("--batch-size", type=int, default=Settings.batch_size, metavar="N", help="default %(default)s")


def _add_plugin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plugin", action="append", metavar="FILE", help="a Python file that registers methods")


def run_options(arguments: argparse.Namespace) -> tuple[Settings, Execution, Path]:
    """The settings, the way to run, and the folder that the options of `run` mean."""
    settings, execution = _settings(arguments)
    return settings, execution, _folder_to_write(arguments, _words(settings.stream, settings.backbone))


def _words(*specs: str) -> str:
    """The names in specifications, as a part of a folder's name."""
    return "-".join(re.sub(r"[^\w.-]+", "-", spec.partition(":")[0]) for spec in specs)


def _settings(arguments: argparse.Namespace) -> tuple[Settings, Execution]:
    chosen, tuned = parse_methods(arguments.methods), None
    if arguments.tuned:
        options = ("preset", "lr", "optimizer", "schedule")
        given = [option for option in options if getattr(arguments, option) is not None]
        if given:
            raise UserError(f"--{given[0]} and --tuned both say how the methods are trained; give one of them")
        tuned = tuned_methods(chosen, given_path("--tuned", arguments.tuned))
        chosen = tuned.specifications
    settings = _from_options(
        Settings,
        arguments,
        methods=chosen,
        seeds=parse_seeds(arguments.seeds),
        augment=tuple(item for item in arguments.augment.split(",") if item),
    )
    execution = _from_options(Execution, arguments, plugins=tuple(arguments.plugin or ()), tuned=tuned)
    check_reference(execution.reference, settings.methods)
    return settings, execution


def _run(arguments: argparse.Namespace, argv: list[str]) -> int:
    settings, execution, folder = run_options(arguments)
    if folder.is_dir():
        from benchmark.storage.lock import locked

        refuse_foreign(folder, MANIFEST)
        # One that is in use is refused before anything is loaded, which takes seconds; it is locked again for the run.
        with locked(folder):
            pass
    if execution.executor == "local" and execution.jobs != 1:
        warm_up()

    from benchmark.cli.commands import run_command

    return run_command(settings, execution, folder, argv, _resume(argv, arguments, folder))


def _compare_backbones(arguments: argparse.Namespace, argv: list[str]) -> int:
    specs = split_specs(arguments.backbones)
    if len({folder_name(spec).casefold() for spec in specs}) < max(2, len(specs)):
        raise UserError(f"--backbones {arguments.backbones} must be a list of two or more, each given once")
    if len(parse_methods(arguments.method)) != 1:
        raise UserError(f"--method {arguments.method} must be a single method, as clr")
    folder = _folder_to_write(arguments, _words(arguments.stream, "backbones"))
    runs = {}
    for spec in specs:
        options = {**vars(arguments), "methods": arguments.method, "backbone": spec}
        settings, execution = _settings(argparse.Namespace(**options))
        runs[folder / folder_name(spec)] = settings
    if execution.executor == "local" and execution.jobs != 1:
        warm_up()

    from benchmark.cli.backbones_compare import compare_backbones

    return compare_backbones(runs, execution, folder, argv, _resume(argv, arguments, folder))


def _resume(argv: list[str], arguments: argparse.Namespace, folder: Path) -> str:
    """The command that goes on with what `argv` began in `folder`."""
    command = f"python -m benchmark {shlex.join(argv)}"
    return command if arguments.name else f"{command} --name {folder.name}"


def _from_options(cls: type[T], arguments: argparse.Namespace, **others: Any) -> T:
    """A `cls` of the options that are called as its fields, and of `others`."""
    named = {field.name for field in fields(cls)} & vars(arguments).keys()
    return cls(**{name: getattr(arguments, name) for name in named} | others)


def _folder_to_write(arguments: argparse.Namespace, what: str) -> Path:
    """--name in --out; by default `what` and the time, with a number where a run of the same second is there.

    Raises:
        UserError: --name is not that of a folder.
    """
    out = given_path("--out", arguments.out)
    if arguments.name is None:
        name = f"{what}-{datetime.now():%Y%m%d-%H%M%S}"
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        return next(out / each for each in names if not (out / each).exists())
    if not re.fullmatch(r"[\w.,=+-]+", arguments.name) or arguments.name in (".", ".."):
        raise UserError(f"--name {arguments.name}: write a folder's name of letters, digits and . , = + - _ only")
    return given_path("--name", out / arguments.name)


def _cost(arguments: argparse.Namespace, argv: list[str]) -> int:
    _check_least(arguments, tasks=1, classes=2, images=2, image_size=8)
    settings = _from_options(Settings, arguments, methods=parse_methods(arguments.methods))

    from benchmark.cli.commands import cost_command
    from benchmark.planning.estimate import StreamShape

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
    check_seeds("--seed", [arguments.seed])
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

    from benchmark.cli.commands import tune_command

    return tune_command(settings, arguments.budget, out)


def _output_file(path: str) -> Path:
    """A file that can be written.

    Raises:
        UserError: it cannot.
    """
    out = given_path("--out", path)
    if out.is_dir():
        raise UserError(f"--out: {out} is a folder; give the name of a file")
    if not out.parent.is_dir():
        raise UserError(f"--out: there is no folder {out.parent}; make it, or write elsewhere")
    return out


def _report(arguments: argparse.Namespace, argv: list[str]) -> int:
    path = run_folder("report", arguments.run)

    from benchmark.cli.commands import report_command

    return report_command(path, arguments.reference)


def run_folder(command: str, run: str) -> Path:
    """The folder of a run that is given by its path, or by its name in results/.

    Raises:
        UserError: there is none.
    """
    path = given_path(command, run)
    if not path.exists() and (Path("results") / path).exists():
        path = Path("results") / path
    if not path.is_dir():
        raise UserError(f"{command}: there is no run folder {run}; give its path, or its name in results/")
    return path


def _compare(arguments: argparse.Namespace, argv: list[str]) -> int:
    folder = _folder_to_write(arguments, "compare")
    runs = [run_folder("compare", run) for run in arguments.runs]

    from benchmark.results.join import compare_command

    return compare_command(runs, folder, argv, arguments.reference)


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

    from benchmark.cli.commands import describe_command
    from benchmark.planning.estimate import StreamShape

    return describe_command(settings, StreamShape(**_SHAPE))


def _list(arguments: argparse.Namespace, argv: list[str]) -> int:
    registries: dict[str, Registry] = {"streams": streams, "backbones": backbones}
    registry = registries[arguments.listed]
    print(*aligned(_summaries(registry, registry.names())), sep="\n")
    return 0


def _summaries(registry: Registry, names: list[str]) -> list[tuple[str, str]]:
    return [(name, registry.summary(name)) for name in names]


def _cache(arguments: argparse.Namespace, argv: list[str]) -> int:
    from benchmark.cli.cache import clear_command, list_command

    return clear_command() if arguments.clear else list_command()


def _pretrain(arguments: argparse.Namespace, argv: list[str]) -> int:
    out = _output_file(arguments.out)

    from benchmark.backbones.mini.pretrain import pretrain

    result = pretrain(out)
    print(f"{result.path}: accuracy on new pictures {result.accuracy:.3f}, {result.classes} classes")
    return 0
