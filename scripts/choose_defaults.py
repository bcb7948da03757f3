"""Choose the methods' defaults on the validation images of the embedded stream; test images are never touched.

    python scripts/choose_defaults.py [METHOD ...] [--budget 8] [--seeds 100,101] [--out defaults] [--jobs 2]
    python scripts/choose_defaults.py --from FILE ...

Searches each method's options on the whole stream as `tune` does, once with SGD and once with Adam, each with the same
budget. So every method that makes gradient steps gets the same number of trials. A specification with an optimizer
(`ewc:optimizer=sgd`) is searched with this one only. Without METHOD: all methods of the group `all` that work on the
backbone.

Writes a file of `tune` for each search into the folder of --out, and prints the table of docs/tuning.md. The same
command goes on where it was interrupted. The file beside the folder, defaults.json, has the best of both searches, for
`run --tuned`. --from searches nothing, and prints the table of files that `tune` wrote with the same settings. Needs
the extra `tune`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

OPTIMIZERS = ("sgd", "adam")

Entry = Mapping[str, Any]


def searches(settings: Any) -> tuple[list[str], list[str]]:
    """The specifications to search: each method with each optimizer, its own first and without a name.

    Returns:
        the specifications; the methods of a group that cannot be used on the backbone.
    """
    from benchmark.planning.preparation import prepare_run
    from benchmark.running.search_space import search_space

    prepared = prepare_run(
        settings, note=lambda text: None, tuning=True, warn=lambda text: print(text, file=sys.stderr)
    )
    labels: list[str] = []
    for method in prepared.methods:
        labels.append(method.label)
        if method.cls.learns_in_steps and search_space(method) and "optimizer" not in method.spec.options:
            others = (optimizer for optimizer in OPTIMIZERS if optimizer != method.recipe.optimizer)
            labels += [f"{method.label}:optimizer={optimizer}" for optimizer in others]
    return labels, list(prepared.left_out)


def search(settings: Any, budget: int, path: Path) -> bool:
    """Search one specification, in a process of its own.

    Args:
        settings: with one method.
        path: the file.

    Returns:
        whether it succeeded; if not, the cause is printed.
    """
    import torch

    from benchmark.planning.preparation import prepare_run
    from benchmark.progress.events import CellFailed, Event
    from benchmark.running.tune import Tuning

    # The threads of several processes would wait for each other.
    torch.set_num_threads(1)
    prepared = prepare_run(settings, note=lambda text: None, tuning=True)

    def complain(event: Event) -> None:
        if isinstance(event, CellFailed):
            print(f"{event.cell} failed: {event.cause}", file=sys.stderr)

    return bool(Tuning(prepared, budget, path).run(complain))


def joined(files: Iterable[Path]) -> dict[str, Any]:
    """The content of several files of `tune`, in which the searches of a method with other optimizers are one.

    Raises:
        UserError: a file cannot be used, was made with other settings than the first, or has what another one has.
    """
    from benchmark.running.manifest import check_same
    from benchmark.storage.tuned import read_tuned
    from methods.errors import UserError

    contents = [(path, read_tuned(path, "--from")) for path in files]
    first = contents[0][1]
    found: dict[str, Entry] = {}
    for path, content in contents:
        check_same(content, first, "--from", path, kind="file")
        if twice := found.keys() & content["methods"].keys():
            raise UserError(f"--from: {path} has '{min(twice)}', which a file before it has too; give one of them")
        found |= content["methods"]
    left_out = dict.fromkeys(label for _, content in contents for label in content.get("left_out", ()))
    return {**first, "methods": dict(merged(found)), "unfinished": {}, "left_out": list(left_out)}


def merged(found: Mapping[str, Entry]) -> Iterator[tuple[str, Entry]]:
    """Each method that was searched with its own optimizer, with what was found with the others too."""
    from methods.configured import configure

    by_method: dict[str, list[str]] = {}
    for label in found:
        by_method.setdefault(re.sub(":optimizer=[^:]*", "", label), []).append(label)
    for name, labels in by_method.items():
        optimizer = configure(name).recipe.optimizer
        own = [label for label in labels if configure(label).recipe.optimizer == optimizer]
        if not own:
            yield from ((label, found[label]) for label in labels)
            continue
        best = max((found[label] for label in labels), key=lambda entry: entry["accuracy"] or 0.0)
        trials = [trial for label in labels for trial in found[label]["trials"]]
        yield name, {**found[own[0]], "best": best["best"], "accuracy": best["accuracy"], "trials": trials}


def table(found: Mapping[str, Entry]) -> str:
    """The table of docs/tuning.md: accuracies in %, gain in points."""
    lines = ["| method | default | best | gain | with | trials | diverged |", "|---|---:|---:|---:|---|---:|---:|"]
    for label, entry in found.items():
        if not entry["trials"]:
            continue
        default, best = 100 * entry["default_accuracy"], 100 * entry["accuracy"]
        options = entry["best"].removeprefix(label).removeprefix(":")
        diverged = sum(trial["diverged"] for trial in entry["trials"])
        lines.append(
            f"| `{label}` | {default:.1f} | {best:.1f} | {best - default:.1f} | `{options}` | {len(entry['trials'])} | "
            f"{diverged} |"
        )
    return "\n".join(lines)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="for example ewc, or ewc:fisher=exact")
    parser.add_argument("--from", dest="files", nargs="+", type=Path, metavar="FILE", help="search nothing")
    parser.add_argument("--budget", type=int, default=8, help="trials of each search; the first are the defaults")
    parser.add_argument("--seeds", default="100,101", help="not those of the runs that are reported")
    parser.add_argument("--backbone", default="mini")
    parser.add_argument("--scenario", default="task", choices=["task", "class", "domain"])
    parser.add_argument("--tasks", type=int, help="only the first tasks of the stream")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("defaults"), help="folder")
    parser.add_argument("--jobs", type=int, default=2, help="searches at once, each with one core")
    return parser.parse_args(argv)


def search_all(arguments: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Search what the arguments name, and join what is found.

    Returns:
        what is found; whether all searches succeeded.

    Raises:
        UserError: an argument cannot be used.
    """
    from dataclasses import replace

    from benchmark.cli.options import check_least
    from benchmark.config import Settings, parse_methods, parse_seeds
    from benchmark.files import folder_name
    from benchmark.storage.tuned import write_tuned
    from methods.errors import UserError

    check_least(arguments, budget=1, jobs=1)
    asked = {name: getattr(arguments, name) for name in ("backbone", "scenario", "tasks", "epochs")}
    methods, seeds = parse_methods(arguments.methods or "all"), parse_seeds(arguments.seeds)
    settings = Settings(methods=methods, seeds=seeds, device="cpu", **asked)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {arguments.out}: the folder cannot be made: {error.strerror}") from error
    labels, left_out = searches(settings)
    files = {label: arguments.out / f"{folder_name(label)}.json" for label in labels}
    # A process that is forked after torch has begun threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.jobs, mp_context=context) as pool:
        runs = [
            pool.submit(search, replace(settings, methods=(label,)), arguments.budget, path)
            for label, path in files.items()
        ]
        for label, run in zip(files, runs, strict=True):
            print(f"{label} {'is done' if run.result() else 'failed'}", file=sys.stderr, flush=True)
    content = joined(files.values()) | {"left_out": left_out}
    write_tuned(arguments.out.with_name(f"{arguments.out.name}.json"), content)
    return content, all(run.result() for run in runs)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status: 1 if a search failed."""
    from methods.errors import UserError

    arguments = parse(argv)
    try:
        content, whole = (joined(arguments.files), True) if arguments.files else search_all(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(content["methods"]))
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
