"""Compares the rules of task inference on validation images, and prints a table in Markdown for docs/scenarios.md.

Test images take no part: no default is chosen on them. `python scripts/compare_rules.py --help` says what it needs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from benchmark.config import Execution, Settings, parse_methods, parse_seeds
from benchmark.planning.preparation import Prepared, prepare_run
from benchmark.progress.shown import shown
from benchmark.results.tables import read_table
from benchmark.running.runner import run
from benchmark.task_inference.rules import RULES
from methods.options import parse_spec


def on_validation_images(prepared: Prepared) -> Prepared:
    """The same run with each task's validation images in place of its test images."""
    tasks = tuple(replace(task, test=task.validation, test_files=()) for task in prepared.stream.tasks)
    return replace(prepared, stream=replace(prepared.stream, tasks=tasks))


def compare(prepared: Prepared, folder: Path) -> pd.DataFrame:
    """The rows of inference.csv, of a run that is written into a folder."""
    execution = Execution(jobs=1, in_process=True)
    with shown(prepared.epochs_in_all([{"method": m.label} for m in prepared.methods])) as progress:
        run(prepared, execution, folder, ["compare_rules"], progress.handle)
    return read_table(folder / "inference.csv")


def to_markdown(table: pd.DataFrame, rules: Sequence[str]) -> str:
    """A row per method and a column per rule: the task guessed right, and the accuracy, in percent."""
    lines = ["| method | " + " | ".join(rules) + " | task known |", "|---" * (len(rules) + 2) + "|"]
    for method, rows in table[table["rule"].isin(rules)].groupby("method", sort=False):
        guessed, right = (rows.set_index("rule")[name] for name in ("task_inference_accuracy", "accuracy_inferred"))
        cells = [f"{100 * guessed[rule]:.1f} / {100 * right[rule]:.1f}" for rule in rules]
        known = f"{100 * rows['accuracy_with_oracle'].iloc[0]:.1f}"
        lines.append(f"| {method} | " + " | ".join(cells) + f" | {known} |")
    return "\n".join(lines)


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="clr,norm-only,linear-probe")
    parser.add_argument("--stream", default="mini")
    parser.add_argument("--backbone", default="mini")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--train-images", type=int)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", default="3")
    asked = parser.parse_args()
    settings = Settings(
        methods=parse_methods(asked.methods),
        stream=parse_spec(asked.stream),
        backbone=parse_spec(asked.backbone),
        infer=tuple(RULES),
        image_size=asked.image_size,
        train_images=asked.train_images,
        epochs=asked.epochs,
        seeds=parse_seeds(asked.seeds),
    )
    prepared = on_validation_images(prepare_run(settings, note=lambda text: print(text, file=sys.stderr)))
    with tempfile.TemporaryDirectory() as temporary:
        print(to_markdown(compare(prepared, Path(temporary) / "run"), tuple(RULES)))


if __name__ == "__main__":
    main()
