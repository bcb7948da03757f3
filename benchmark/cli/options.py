"""A command and its options; argparse gets them from their declarations. This module imports nothing heavy."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.config import RUN_OPTIONS, check_most
from benchmark.declaration import Option
from methods.errors import UserError
from methods.names import closest
from methods.paths import given_path


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        name: its name on the command line.
        help: one line.
        run: runs it with the options and the command line, and returns the exit status.
        options: its options.
        add_arguments: adds arguments without a name, such as the RUN of `report RUN`.
        of_runs: what is right instead of an option that `run` has and this command does not.
    """

    name: str
    help: str
    run: Callable[[argparse.Namespace, list[str]], int]
    options: tuple[Option, ...] = ()
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    of_runs: str = ""

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Add this command's arguments to a parser. Its result has only those that are given."""
        self.add_arguments(parser)
        groups: dict[str, Any] = {"": parser}
        for option in self.options:
            if option.group not in groups:
                groups[option.group] = parser.add_argument_group(option.group)
            groups[option.group].add_argument(option.flag, **_argparse(option))

    def advice(self, unknown: Sequence[str]) -> str:
        """What may be right instead of arguments that this command does not have; empty if nothing is known."""
        flag = next((text.partition("=")[0] for text in unknown if text.startswith("--")), "")
        name = flag.removeprefix("--").replace("_", "-")
        if name.replace("-", "_") in RUN_OPTIONS and self.of_runs:
            return self.of_runs
        close = closest(name, [option.flag.removeprefix("--") for option in self.options])
        return f"did you mean --{close}?" if close else ""


def _argparse(option: Option) -> dict[str, Any]:
    """The arguments of argparse's `add_argument` for an option."""
    about: dict[str, Any] = {"dest": option.name, "default": argparse.SUPPRESS, "help": option.help}
    if option.kind is bool:
        return about | {"action": argparse.BooleanOptionalAction}
    if option.default is not None and not option.several:
        about["help"] = "; ".join(filter(None, [option.help, f"default {option.default}"]))
    about |= {"metavar": option.metavar or None, "choices": option.choices or None}
    if option.repeated:
        return about | {"action": "append"}
    return about if option.several else about | {"type": option.kind}


def reference_option(default: str) -> Option:
    """The option --reference of a command.

    Args:
        default: the reference if the option is not given, for the help.
    """
    option = RUN_OPTIONS["reference"]
    return replace(option, help=option.help.partition("; default")[0] + f"; default: {default}")


def check_least(arguments: argparse.Namespace, **least: int) -> None:
    """Refuse an option that is given and is below its least value, or above its largest."""
    for option, value in least.items():
        given = getattr(arguments, option)
        if given is None:
            continue
        if given < value:
            raise UserError(f"--{option.replace('_', '-')} {given} must be at least {value}")
        check_most(option, given)


def output_file(path: str) -> Path:
    """The path of a file that can be written.

    Raises:
        UserError: the file cannot be written.
    """
    out = given_path("--out", path)
    if out.is_dir():
        raise UserError(f"--out: {out} is a folder; give the name of a file")
    if not out.parent.is_dir():
        raise UserError(f"--out: there is no folder {out.parent}; make it, or write elsewhere")
    return out


def resume_command(argv: list[str], arguments: argparse.Namespace, folder: Path) -> str:
    """The command that resumes the run that `argv` began in `folder`."""
    command = f"python -m benchmark {shlex.join(argv)}"
    return command if arguments.name else f"{command} --name {folder.name}"
