"""The matrix of cells, one after another: each a fold of learn() over the stream."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmark.backbones import backbones
from benchmark.config import Settings
from benchmark.cost import inference_operations_per_image, peak_memory
from benchmark.evaluation import evaluate, evaluation_fingerprint, network_for
from benchmark.learner import Cell, Learned, frozen_bytes, learn, start
from benchmark.manifest import check_same, new_manifest, now
from benchmark.model import Network
from benchmark.report.write import write_report
from benchmark.results import FAILED, RUNNING, SUCCEEDED, open_run
from benchmark.state import PackedState, load, pack, save
from benchmark.strategy import Training
from benchmark.streams.base import Stream
from benchmark.streams.build import build_stream
from methods.configured import ConfiguredMethod, configure
from methods.errors import UserError
from methods.options import construct, parse_spec


class Progress(Protocol):
    """What a run tells of its progress."""

    def note(self, text: str) -> None:
        """Something outside the cells, as the loading of a task."""

    def cell(self, method: str, seed: int, tasks_done: int) -> None:
        """A cell begins, or goes on after so many tasks."""

    def task(self, number: int, name: str) -> None:
        """A task begins."""

    def epoch(self) -> None:
        """An epoch of that task is done."""

    def failed(self, method: str, seed: int, cause: str) -> None:
        """A cell failed."""


@dataclass(frozen=True)
class Prepared:
    """Everything that is checked and loaded before anything trains."""

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


def run(prepared: Prepared, folder: Path, command: list[str], keep_states: bool, progress: Progress) -> dict[str, Any]:
    """Learn every cell, and write the run folder; an existing run goes on where it stopped.

    A cell that fails is reported as failed, with its cause, and the others go on.

    Returns:
        The manifest.

    Raises:
        UserError: the folder cannot be used, or holds a run with other settings.
    """
    manifest = new_manifest(prepared.settings, prepared.stream, prepared.backbone, command)
    run_folder = open_run(folder)
    if run_folder.exists():
        old = run_folder.read_manifest()
        check_same(old, manifest, "--name", folder.name)
        manifest = {**old, "finished": None}
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False

    manifest["status"] = RUNNING
    for entry in manifest["cells"]:
        entry["status"], entry["cause"] = RUNNING, None
        entry.pop("traceback", None)
        run_folder.write_manifest(manifest)
        method = next(m for m in prepared.methods if m.label == entry["method"])
        try:
            learn_cell(
                prepared, method, entry["seed"], run_folder.cell(method.label, entry["seed"]), keep_states, progress
            )
        except Exception as error:  # whatever it is, the other cells go on
            entry["status"] = FAILED
            entry["cause"] = f"{type(error).__name__}: {error}"
            entry["traceback"] = traceback.format_exc()
            progress.failed(method.label, entry["seed"], entry["cause"])
        else:
            entry["status"] = SUCCEEDED
        run_folder.write_manifest(manifest)
    manifest["status"] = FAILED if any(entry["status"] == FAILED for entry in manifest["cells"]) else SUCCEEDED
    manifest["finished"] = now()
    run_folder.write_manifest(manifest)
    progress.note("drawing tables and figures")
    write_report(run_folder)
    return manifest


def learn_cell(
    prepared: Prepared, method: ConfiguredMethod, seed: int, folder: Path, keep_states: bool, progress: Progress
) -> None:
    """Learn the tasks of one cell that its folder does not hold yet."""
    settings, tasks = prepared.settings, prepared.stream.tasks
    cell = Cell(prepared.backbone, method.make, prepared.stream.most_classes, seed, prepared.device)
    training = Training(method.recipe, settings.epochs, settings.batch_size)
    state, records = load(folder, lambda: start(cell))
    checksums: dict[str, str] = records[-1]["checksums"] if records else {}
    known = {e["fingerprint"]: e["accuracy"] for record in records for e in record["evaluated"]}
    frozen = frozen_bytes(cell)
    progress.cell(method.label, seed, len(records))
    for number in range(state.learned + 1, len(tasks) + 1):
        progress.task(number, tasks[number - 1].name)
        with peak_memory(prepared.device) as peak:
            learned = learn(cell, state, tasks[number - 1], training, progress.epoch)
        packed = pack(learned.state, state, checksums)
        record = {
            "learned": number,
            "task_name": tasks[number - 1].name,
            "training_flops": learned.operations,
            "training_seconds": learned.seconds,
            "losses": learned.losses,
            "peak_memory_bytes": peak.bytes,
            "bytes_before": state.count_bytes(),
            "bytes": learned.state.count_bytes() | {"frozen": frozen},
            **_evaluate_all(cell, learned, packed, prepared, known),
        }
        save(folder, packed, record, keep_states)
        state, checksums = learned.state, packed.checksums


def _evaluate_all(
    cell: Cell, learned: Learned, packed: PackedState, prepared: Prepared, known: dict[str, float]
) -> dict[str, Any]:
    """The accuracies on all tasks so far; what nothing has changed since it was evaluated is not evaluated again."""
    state = learned.state
    tasks = prepared.stream.tasks[: state.learned]
    evaluated, new = [], 0
    began = time.perf_counter()
    for number, task in enumerate(tasks, 1):
        key = evaluation_fingerprint(packed.checksums, number, task.fingerprint)
        if key not in known or number == len(tasks):
            network = network_for(cell, state, number, len(task.classes))
        if key not in known:
            known[key] = evaluate(network, task.test, prepared.device)
            new += 1
        evaluated.append({"task": number, "accuracy": known[key], "images": len(task.test), "fingerprint": key})
    seconds = time.perf_counter() - began
    return {
        "evaluated": evaluated,
        "evaluations": new,
        "evaluation_seconds": seconds,
        "inference_flops_per_image": inference_operations_per_image(network, len(task.classes), task.image_size),
    }
