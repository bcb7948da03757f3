"""Writes learned networks into files that need only torch, or onnxruntime."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.files import write_atomically
from benchmark.using.card import CARD, as_json, as_markdown, card_of
from benchmark.using.learned import Learned
from benchmark.using.program import check_answers, count_values, deployed, export, traced
from methods.errors import UserError, first_line
from methods.names import listed

#: The forms of a file, by its ending.
FORMS = (".pt2", ".onnx")

_IN_TORCH = """\
import json

import torch

extra = {{"card.json": ""}}
program = torch.export.load("{name}", extra_files=extra)
card = json.loads(extra["card.json"])
images = torch.zeros(1, {channels}, {size}, {size}, dtype=torch.uint8)
logits = program.module()(images)
confidence, column = logits.softmax(1).max(1)
for task in card["tasks"]:
    label = int(column[0]) - task["first_logit"]
    if 0 <= label < len(task["classes"]):
        print(task["name"], task["classes"][label], float(confidence[0]))
"""

_IN_ONNX = """\
import json

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{name}")
card = json.loads(session.get_modelmeta().custom_metadata_map["card.json"])
images = np.zeros((1, {channels}, {size}, {size}), dtype=np.uint8)
(logits,) = session.run(None, {{"images": images}})
column = int(logits[0].argmax())
for task in card["tasks"]:
    label = column - task["first_logit"]
    if 0 <= label < len(task["classes"]):
        print(task["name"], task["classes"][label])
"""


def check_form(out: Path) -> None:
    """Check that a file's ending says a form, and that its packages are here.

    Raises:
        UserError: it does not, or they are not.
    """
    if out.suffix not in FORMS:
        raise UserError(f"--out {out}: the ending says the form; give a file that ends in {' or '.join(FORMS)}")
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if out.suffix == ".onnx" and missing:
        raise UserError(
            f"--out {out}: ONNX needs the package {missing[0]}, which is not installed; install it with: pip install "
            '".[onnx]"'
        )


def place_to_export(learned: Learned, task: str | None) -> int | None:
    """The place of the task whose network is exported; None for all classes of one head.

    Raises:
        UserError: a task is needed, or there is none of that name.
    """
    if task is not None:
        return learned.place_of(task)
    if learned.cell.scenario != "task":
        return None
    if len(learned.tasks) == 1:
        return 1
    raise UserError(
        f"{learned.key[0]} has a network for each task: give --task with one of {listed(learned.names)}, or "
        "--all-tasks for one trunk and the small parts"
    )


def export_one(learned: Learned, task: str | None, out: Path) -> Path:
    """Write one network, and its card beside it.

    Args:
        learned: what was learned; on the CPU.
        task: its name; None where one head answers for all tasks, or there is one task.
        out: the file.

    Returns:
        The path of the card.

    Raises:
        UserError: there is no such network, or it cannot be exported.
        StorageError: a file cannot be written.
    """
    place = place_to_export(learned, task)
    # ONNX has no formats of memory.
    module = deployed(learned, place, "contiguous" if out.suffix == ".onnx" else None)
    program = export(learned, module)
    among_all = learned.cell.scenario == "class" and place is None
    places = range(1, learned.state.learned + 1) if place is None else [place]
    card = card_of(learned, places, count_values(program.state_dict), among_all)
    content = _pt2(program, card) if out.suffix == ".pt2" else _onnx(learned, module, program, card)
    if out.suffix == ".pt2":
        check_answers(learned, module, torch.export.load(io.BytesIO(content)).module())
    write_atomically(out, content)
    usage = _IN_TORCH if out.suffix == ".pt2" else _IN_ONNX
    beside = out.with_name(f"{out.name}.md")
    filled = usage.format(name=out.name, channels=learned.channels, size=learned.image_size)
    write_atomically(beside, as_markdown(card, filled).encode())
    return beside


def _pt2(program: torch.export.ExportedProgram, card: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={CARD: as_json(card)})
    return file.getvalue()


def _onnx(
    learned: Learned, module: torch.nn.Module, program: torch.export.ExportedProgram, card: dict[str, Any]
) -> bytes:
    import onnxruntime

    try:
        with traced(learned.cell.device):
            made = torch.onnx.export(
                program, input_names=["images"], output_names=["logits"], dynamo=True, verbose=False
            )
        assert made is not None
        proto = made.model_proto
    except Exception as error:  # the converter raises anything for an operation that it does not know
        raise UserError(
            f"export: {learned.key[0]} on {learned.manifest.backbone['spec']} cannot be written as ONNX "
            f"({first_line(error)}); give a file that ends in .pt2"
        ) from error
    entry = proto.metadata_props.add()
    entry.key, entry.value = CARD, as_json(card)
    content: bytes = proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def answers(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])

    check_answers(learned, module, answers)
    return content
