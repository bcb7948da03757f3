"""Keep a finished run in docs/results/, as far as a reader needs it: `python scripts/keep_run.py RUN NAME`.

The tables as CSV, the settings, and the manifest with the number of test images of each class are kept; summary.md,
summary.tex and the figures as SVG are made from these anew, which shows that they are enough. States and answers,
everything with pictures of the data (report.html), and classes.csv, which has a row for each class of each cell, are
left out.

What says something of the machine's folders or of its network is left out, by two rules:

- Of a path that begins at the root of a disk or at a home folder, only the last name stays.
- A command loses its options of `HIDDEN`: where its files are, and how the work was spread. They change no number.

Versions, hardware, device, commit and times stay.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.config import RUN_OPTIONS
from benchmark.declaration import Option
from benchmark.report.write import write_shown
from benchmark.results.kept import KeptAnswers
from benchmark.results.run import read
from benchmark.running.config_file import CONFIG_NAME
from benchmark.storage.folder import RunFolder, folder_to_write, run_folder
from benchmark.storage.labels import TaskLabels
from benchmark.storage.lock import building
from benchmark.storage.manifest import PER_CLASS, SUCCEEDED, Entry, Manifest
from methods.errors import UserError

RESULTS = Path(__file__).parents[1] / "docs" / "results"

#: Options that a kept command and a kept config.toml do not have.
HIDDEN = (
    *("out", "name", "address", "jobs", "executor", "gpus_per_cell", "parallel_tasks"),
    *("keep_states", "tracker", "quiet", "verbose"),
)

#: Tables that are too large, and of which no page shows anything.
LEFT_OUT = ("classes.csv",)

#: The kinds of files that a kept run has.
KEPT = (".csv", ".json", ".md", ".svg", ".tex", ".toml")

# A path from the root of a disk or from a home folder. It ends where the next part of a specification begins.
_PATH = re.compile(r"(?:^|(?<=[\s:=,]))(?:~[^/\\:=,]*|[A-Za-z]:)?[/\\](?![/\s])[^:=,]*")
# A text in TOML, as a run writes it.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def keep(run: Path, target: Path) -> None:
    """Keep a run.

    Args:
        run: its folder.
        target: the new folder; must not exist.

    Raises:
        UserError: it cannot be kept; nothing is written then.
    """
    manifest = RunFolder(run).read_manifest()
    if manifest.get("status") != SUCCEEDED:
        raise UserError(f"{run}: only a run of which all cells succeeded is kept; this one is {manifest.get('status')}")
    if target.exists():
        raise UserError(f"{target} exists; remove it, or give another NAME")
    target.parent.mkdir(parents=True, exist_ok=True)
    with building(target) as partial:
        kept = RunFolder(partial)
        for path in run.glob("*.csv"):
            if path.name not in LEFT_OUT:
                (partial / path.name).write_bytes(path.read_bytes())
        if (run / CONFIG_NAME).exists():
            kept.write_text(CONFIG_NAME, public_config((run / CONFIG_NAME).read_text(encoding="utf-8")))
        labels = KeptAnswers(RunFolder(run), manifest, {}).labels
        kept.write_manifest(public_manifest(Manifest(manifest | {"tasks": counted_classes(manifest, labels)})))
        results = read(kept)
        # A run of an earlier version lacks tables that follow from the others.
        for name, frame in results.tables.items():
            if f"{name}.csv" not in LEFT_OUT and not (partial / f"{name}.csv").exists():
                kept.write_csv(name, frame)
        write_shown(results)
        for path in list(files(partial)):
            if path.suffix not in KEPT:
                path.unlink()
        check_public(partial, run)


def counted_classes(manifest: Manifest, labels: Mapping[int, TaskLabels | None]) -> list[Entry]:
    """The tasks of a manifest, with what chance levels need of the labels, which are left out.

    Args:
        manifest: of the run.
        labels: number of a task -> the right answers to its test images, as far as the run has them.
    """
    known = ((task, labels.get(number)) for number, task in enumerate(manifest.tasks, 1))
    return [task if own is None else {**task, PER_CLASS: own.images_per_class} for task, own in known]


def public_manifest(manifest: Manifest) -> Manifest:
    """The manifest of a kept run."""
    return Manifest({**_public(manifest), "kept": True})


def _public(value: Any) -> Any:
    """Something in the manifest by the rules above."""
    if isinstance(value, dict):
        return {name: _public(each) for name, each in without_hidden(value).items()}
    if isinstance(value, list):
        return [_public(each) for each in value]
    return without_folders(value) if isinstance(value, str) else value


def without_hidden(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of the manifest; its command, if it has one, is without the hidden options."""
    return {**entry, "command": public_command(entry["command"])} if "command" in entry else entry


def public_command(command: Sequence[str]) -> list[str]:
    """A command without the hidden options and their values.

    Args:
        command: without the program's name, as `run`, `--jobs`, `2`, `--methods=clr`.
    """
    shown, words = [], iter(command)
    for word in words:
        name, _, value = word.partition("=")
        option = _hidden(name)
        if option is None:
            shown.append(word)
        elif option.kind is not bool and not value:
            next(words, None)
    return shown


def _hidden(flag: str) -> Option | None:
    """The hidden option that a word begins, also with its name cut short as argparse allows; None for other words."""
    if not flag.startswith("--") or len(flag) < len("--x"):
        return None
    name = flag.removeprefix("--").replace("-", "_")
    if name not in RUN_OPTIONS:
        negated = name.removeprefix("no_")
        meant = [option for option in RUN_OPTIONS if option.startswith((name, negated))]
        name = meant[0] if len(meant) == 1 else name
    return RUN_OPTIONS[name] if name in HIDDEN else None


def public_config(text: str) -> str:
    """The text of a kept config.toml."""
    hidden = tuple(f"{name.replace('_', '-')} = " for name in HIDDEN)
    lines = (line for line in text.splitlines(keepends=True) if not line.startswith(hidden))
    return _QUOTED.sub(
        lambda found: json.dumps(without_folders(json.loads(found[0])), ensure_ascii=False), "".join(lines)
    )


def without_folders(text: str) -> str:
    """A text in which only the last names of paths from a root or a home folder are left."""
    return _PATH.sub(lambda found: re.split(r"[/\\]+", found[0].rstrip("/\\"))[-1], text)


def check_public(kept: Path, run: Path) -> None:
    """See that nothing in the folder names a folder of this machine.

    Raises:
        UserError: names the file and the text.
    """
    private = {str(path) for path in (Path.home(), Path.cwd(), Path(tempfile.gettempdir()), run.resolve().parent)}
    for path in files(kept):
        content = path.read_text(encoding="utf-8")
        for folder in sorted(private - {"/"}):
            if folder in content:
                raise UserError(
                    f"{path.name} would name {folder}, which is of this machine only; keep_run.py needs a rule"
                )


def files(folder: Path) -> Iterator[Path]:
    """All files in a folder, at any depth, in the order of their names."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(description="Keep a finished run in docs/results/, without its states.")
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name in results/")
    parser.add_argument("name", metavar="NAME", help="the folder in docs/results/")
    arguments = parser.parse_args(argv)
    try:
        target = folder_to_write(str(RESULTS), arguments.name, "")
        keep(run_folder("keep_run", arguments.run), target)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{target} has {sum(path.stat().st_size for path in files(target)) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
