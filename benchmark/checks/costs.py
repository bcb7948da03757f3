"""The contract of a method's costs: they are counted, and are the same on tensors without data."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import torch

from benchmark.checks.base import Check, WrongError
from benchmark.checks.subject import MethodSubject, flat
from benchmark.checks.tiny import without_data
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import prepare
from benchmark.learning.operations import inference_operations_per_image
from benchmark.planning.estimate import without_values
from benchmark.storage.state import pack, save

META = torch.device("meta")


def is_counted(subject: MethodSubject) -> None:
    """Operations are counted, and the counted bytes equal those of the files."""
    for number, learned in enumerate(subject.learned, 1):
        if learned.operations <= 0:
            raise WrongError(f"task {number} costs no operation; its loss must come from step.model")
    before, _, state = subject.states[:3]
    on_disk = {"task": 0, "shared": 0, "memory": 0}
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder), pack(state, before, {}), {"learned": 2})
        for path in Path(folder).glob("*.safetensors"):
            header = 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]
            on_disk[path.stem.partition("-")[0]] += path.stat().st_size - header
    counted = state.count_bytes()
    for part, size in on_disk.items():
        if counted[part] != size:
            raise WrongError(f"the part '{part}' counts {counted[part]} bytes and takes {size} in its files")
    fixed = subject.cls.shared_head or subject.scenario == "domain"
    # With all logits, the classes of all tasks have units from the start.
    counted_of = subject.tasks if subject.scenario == "class" and subject.make().logits == "all" else subject.tasks[:2]
    classes = subject.cell().most_classes if fixed else sum(len(task.classes) for task in counted_of)
    heads = 4 * (prepare(subject.cell(), state.learned).network.feature_dim + 1) * classes
    if counted["heads"] != heads:
        raise WrongError(
            f"the heads take {counted['heads']} bytes in place of {heads}; leave their size and type alone"
        )


def costs_without_data(subject: MethodSubject) -> None:
    """All hooks run on tensors without values, and have the same cost as with values."""
    with without_values(subject.method):
        cell = subject.cell(device=META)
        simulated = subject.fold(cell, [without_data(task) for task in subject.tasks], dry=True)
        for number, learned in enumerate(simulated, 1):
            classes = len(subject.tasks[number - 1].classes)
            network = network_for(cell, learned.state, number, classes)
            inference_operations_per_image(network, network.classes, subject.size)
    for number, (real, dry) in enumerate(zip(subject.learned, simulated, strict=True), 1):
        forms, expected = ({k: (v.shape, v.dtype) for k, v in flat(s.state).items()} for s in (dry, real))
        for name in sorted(forms.keys() | expected.keys()):
            # The stored data of Avalanche's plugins contains text; its size varies with the digits of numbers.
            if forms.get(name) != expected.get(name) and not (subject.foreign and name in forms):
                raise WrongError(
                    f"after task {number} '{name}' is {_form(forms.get(name))} without data and "
                    f"{_form(expected.get(name))} with data; what is kept must have the same shape in both"
                )
        if abs(dry.operations - real.operations) > 0.001 * real.operations:
            raise WrongError(
                f"task {number} costs {dry.operations:,} operations without data and {real.operations:,} with data; do "
                "the same work in both, in each step"
            )


def _form(form: tuple[torch.Size, torch.dtype] | None) -> str:
    return f"{list(form[0])} of {form[1]}" if form else "missing"


COST_CHECKS: tuple[Check[MethodSubject], ...] = (
    Check("operations and bytes are counted", is_counted),
    Check("runs without data, for the same cost", costs_without_data),
)
