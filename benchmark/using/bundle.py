"""All tasks of a method in a folder: one program with what they share, and a small file of tensors for each task."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.func import functional_call

from benchmark.files import folder_name, write_atomically, writing
from benchmark.images.layout import MemoryFormat
from benchmark.learning.answering import Answering
from benchmark.storage.state import tensor_bytes
from benchmark.using.card import CARD, as_json, as_markdown, card_of
from benchmark.using.learned import Learned
from benchmark.using.program import Deployed, check_answers, count_values, export, network_of
from methods.errors import UserError
from methods.heads import is_head
from methods.network import Network

_TRUNK, _PARTS, _README = "trunk.pt2", "tasks", "README.md"

_USAGE = """\
import json

import torch

card = json.load(open("card.json"))
program = torch.export.load("trunk.pt2").module()
images = torch.zeros(1, {channels}, {size}, {size}, dtype=torch.uint8)
for task in card["tasks"]:
    # What belongs to this task alone, its head included.
    own = torch.load(task["file"], weights_only=True)
    confidence, label = program(images, own).softmax(1).max(1)
    print(task["name"], task["classes"][int(label[0])], float(confidence[0]))
"""


class Trunk(nn.Module):
    """What all tasks share: uint8 images [N, C, S, S] and a task's own tensors -> logits [N, its classes].

    Args:
        network: of any of the tasks, in evaluation mode; it becomes a part of this.
        memory_format: in which the images pass through the network.
    """

    def __init__(self, network: Network, memory_format: MemoryFormat):
        super().__init__()
        network.use_head(network.head_key, 0)
        self.whole = Deployed(network, slice(None), memory_format)

    def forward(self, images: Tensor, own: dict[str, Tensor]) -> Tensor:
        """See the class. `own` has the names of the network's tensors."""
        given = {f"network.{name}": tensor for name, tensor in own.items()}
        logits: Tensor = functional_call(self.whole, given, (images,))
        return logits

    def empty(self, names: Iterable[str]) -> None:
        """Leave out the values of tensors that each task brings."""
        for name in names:
            path, _, own = name.rpartition(".")
            module = self.whole.network.get_submodule(path)
            # Set here, because the setter of a weight that is computed would compute its sources.
            if own in module._parameters:
                module._parameters[own] = nn.Parameter(torch.empty(0), requires_grad=False)
            else:
                module._buffers[own] = torch.empty(0)


def check_bundle(out: Path) -> None:
    """Check that a folder can be made for a bundle.

    Raises:
        UserError: there is something already, or the folder above is missing.
    """
    if out.exists():
        raise UserError(f"--out: {out} exists; with --all-tasks give the name of a new folder")
    if not out.parent.is_dir():
        raise UserError(f"--out: there is no folder {out.parent}; make it, or write elsewhere")


def export_all(learned: Learned, out: Path) -> Path:
    """Write all tasks of a method into a new folder.

    Args:
        learned: what was learned; on the CPU.
        out: the folder.

    Returns:
        The path of the card.

    Raises:
        UserError: the tasks share too little, or it cannot be exported.
        StorageError: a file cannot be written.
    """
    label = learned.key[0]
    if learned.cell.scenario != "task":
        raise UserError(f"--all-tasks: one network of {label} answers for all tasks; leave the option out")
    parts = _own(learned)
    trunk = Trunk(network_of(learned, 1), learned.cell.memory_format).eval()
    own_bytes, all_bytes = tensor_bytes(parts[0]), tensor_bytes(_tensors(trunk.whole.network))
    if 3 * own_bytes > 2 * all_bytes:
        raise UserError(
            f"--all-tasks: of the {all_bytes / 1e6:,.1f} MB of a network of {label}, {own_bytes / 1e6:,.1f} MB are of "
            "its task alone, which leaves too little for a trunk; export the tasks one by one with --task"
        )
    trunk.empty(parts[0])
    sizes = {name: {0: Dim("classes", min=1)} if is_head(name) else None for name in parts[0]}
    program, made = export(learned, trunk, parts[0], dynamic=(sizes,)), io.BytesIO()
    torch.export.save(program, made)
    run = torch.export.load(io.BytesIO(made.getvalue())).module()
    for place, network in _networks(learned):
        check_answers(learned, Deployed(network, slice(None), learned.cell.memory_format), run, parts[place - 1])
    return _write(learned, out, made.getvalue(), parts, count_values(program.state_dict))


def _tensors(network: Network) -> dict[str, Tensor]:
    """All tensors that an answer may depend on, the head's units cut to those that answer."""
    found = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    found = {name: tensor.detach() for name, tensor in found.items() if not is_head(name)}
    units = slice(network.classes or None)
    head = {f"heads.{name}": getattr(network.heads, name).detach()[units] for name in ("weight", "bias")}
    return found | head


def _networks(learned: Learned) -> Iterator[tuple[int, Network]]:
    """The network of each task, by its place; the next one may take the place of the one before in memory."""
    answering = Answering(learned.cell)
    for place, classes in enumerate(learned.widths, 1):
        yield place, answering.network(learned.state, place, classes)


def _own(learned: Learned) -> list[dict[str, Tensor]]:
    """For each task the tensors whose values are not those of every task, and its head.

    Raises:
        UserError: the networks differ in more than values.
    """
    first: dict[str, Tensor] = {}
    own: set[str] = set()
    for _, network in _networks(learned):
        tensors = _tensors(network)
        first = first or {name: tensor.clone() for name, tensor in tensors.items()}
        if any(tensors.keys() != first.keys() or _differs(tensors, first, name) is None for name in first):
            raise UserError(
                f"--all-tasks: the networks of {learned.key[0]} have other tensors in each task, so that there is no "
                "trunk; export the tasks one by one with --task"
            )
        own |= {name for name in first if is_head(name) or _differs(tensors, first, name)}
    names = [name for name in first if name in own]
    return [{name: _tensors(network)[name].clone() for name in names} for _, network in _networks(learned)]


def _differs(tensors: Mapping[str, Tensor], first: Mapping[str, Tensor], name: str) -> bool | None:
    """Whether a tensor has other values than in the first task; None if it has another form."""
    if is_head(name):
        return True
    if tensors[name].shape != first[name].shape:
        return None
    return not tensors[name].equal(first[name])


def _write(
    learned: Learned, out: Path, program: bytes, parts: Sequence[Mapping[str, Tensor]], shared_values: int
) -> Path:
    """Write the folder's files, the cards last; see `export_all`."""
    places = range(1, len(parts) + 1)
    card = card_of(learned, places, shared_values, among_all=False)
    with writing(out.parent):
        (out / _PARTS).mkdir(parents=True)
    write_atomically(out / _TRUNK, program)
    for task, own in zip(card["tasks"], parts, strict=True):
        task |= {"file": f"{_PARTS}/{folder_name(task['name'])}.pt", "values": count_values(own)}
        file = io.BytesIO()
        torch.save(dict(own), file)
        write_atomically(out / task["file"], file.getvalue())
    write_atomically(out / CARD, as_json(card).encode())
    usage = _USAGE.format(channels=learned.channels, size=learned.image_size)
    write_atomically(out / _README, as_markdown(card, usage).encode())
    return out / _README
