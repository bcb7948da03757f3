"""What every registered method must do, known or new: learn, be saved, be loaded, go on identically, and be counted."""

from __future__ import annotations

import inspect
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from benchmark.config import Settings
from benchmark.learning.evaluation import evaluate, network_for
from benchmark.learning.learner import Cell, learn, prepare, start
from benchmark.learning.training import Training
from benchmark.planning.estimate import StreamShape, estimate
from benchmark.storage.state import State, load, pack, save
from benchmark.streams.base import Task
from methods import methods
from methods.configured import configure
from methods.heads import is_head
from methods.options import option_types, option_values, parse_spec

SPECIFICATIONS = (*methods.members("all"), "avalanche:MASPlugin", "avalanche:EWCPlugin:ewc_lambda=1")
every_method = pytest.mark.parametrize("spec", SPECIFICATIONS)


def training(spec: str, epochs: int = 2) -> Training:
    return Training(configure(spec).recipe, epochs=epochs, batch_size=8)


def fold(cell: Cell, tasks: tuple[Task, ...], how: Training, state: State | None = None) -> list[State]:
    states = [state or start(cell)]
    for task in tasks:
        states.append(learn(cell, states[-1], task, how).state)
    return states


def flat(state: State) -> dict[str, torch.Tensor]:
    return {f"{stem}/{name}": tensor for stem, part in state.parts() for name, tensor in part.items()}


def assert_equal(a: State, b: State) -> None:
    first, second = flat(a), flat(b)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@every_method
def test_goes_on_identically_after_being_saved_and_loaded(
    spec: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], tmp_path: Path
) -> None:
    cell, how = make_cell(spec), training(spec)
    straight = fold(cell, tiny_tasks, how)
    checksums: dict[str, str] = {}
    for before, state in pairwise(straight[:3]):
        packed = pack(state, before, checksums)
        save(tmp_path, packed, {"learned": state.learned})
        checksums = packed.checksums
    loaded, records = load(tmp_path, lambda: pytest.fail("nothing was saved"))
    assert len(records) == 2
    assert_equal(loaded, straight[2])
    assert_equal(learn(cell, loaded, tiny_tasks[2], how).state, straight[3])


@every_method
def test_does_not_change_the_state_it_learns_from(
    spec: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell, how = make_cell(spec), training(spec)
    state = fold(cell, tiny_tasks[:1], how)[-1]
    before = {key: tensor.clone() for key, tensor in flat(state).items()}
    learn(cell, state, tiny_tasks[1], how)
    assert all(torch.equal(before[key], tensor) for key, tensor in flat(state).items())


@every_method
def test_leaves_frozen_what_it_declares_frozen(
    spec: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell = make_cell(spec)
    given = {key: tensor.detach().clone() for key, _, tensor in cell.pristine.tensors()}
    state = fold(cell, tiny_tasks[:2], training(spec))[-1]
    assert all(torch.equal(given[key], tensor) for key, _, tensor in cell.pristine.tensors())
    parts = prepare(cell, 1).parts
    frozen = {key for key, part in parts.items() if part == "frozen"}
    assert frozen.isdisjoint(state.shared)
    assert all(frozen.isdisjoint(own) for own in state.tasks.values())
    network = network_for(cell, state, 2, 2)
    live = {key: tensor for key, _, tensor in network.tensors()}
    assert all(torch.equal(live[key], given[key]) for key in frozen & given.keys())


@every_method
def test_learns_something(spec: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]) -> None:
    cell = make_cell(spec)
    how = Training(replace(configure(spec).cls.recipe, lr=0.05, schedule="constant"), epochs=20, batch_size=8)
    after = fold(cell, tiny_tasks[:1], how)[-1]
    # As it would be stored if nothing had been learned.
    before = prepare(cell, 1).take("task")
    assert before.keys() == {key for key in after.tasks[1] if not is_head(key)}
    assert any(not torch.equal(after.tasks[1][key], tensor) for key, tensor in before.items()) or not before
    accuracy = evaluate(network_for(cell, after, 1, 3), tiny_tasks[0].train, torch.device("cpu"))
    assert accuracy > 0.5, "chance is 1/3"


@every_method
def test_counted_bytes_are_the_files_bytes(
    spec: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...], tmp_path: Path
) -> None:
    cell = make_cell(spec)
    before, _, state = fold(cell, tiny_tasks[:2], training(spec))
    save(tmp_path, pack(state, before, {}), {"learned": 2})
    counted = state.count_bytes()
    on_disk = {"task": 0, "shared": 0, "memory": 0}
    for path in tmp_path.glob("*.safetensors"):
        header = 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]
        on_disk[path.stem.partition("-")[0]] += path.stat().st_size - header
    assert on_disk == {part: counted[part] for part in on_disk}
    stored = [tensor for name, tensor in state.memory.items() if name.startswith("replay.")]
    assert counted["replay"] == sum(tensor.numel() * tensor.element_size() for tensor in stored)
    widths = [4] if configure(spec).cls.shared_head else [len(task.classes) for task in tiny_tasks[:2]]
    assert counted["heads"] == 4 * sum((5 + 1) * width for width in widths), "5 features and a bias for each class"


@every_method
def test_options_round_trip(spec: str) -> None:
    method = configure(spec).make()
    values = option_values(method)
    assert values.keys() == option_types(type(method)).keys()
    text = ":".join([parse_spec(spec).name, *(f"{key}={value}" for key, value in values.items())])
    again = configure(text.replace("True", "true").replace("False", "false"))
    assert option_values(again.make()) == values
    assert again.recipe == type(method).recipe


@every_method
def test_seed_changes_the_result_and_nothing_else_does(
    spec: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    how = training(spec)
    first = fold(make_cell(spec, seed=1), tiny_tasks[:2], how)[-1]
    torch.rand(3)  # the global random state must not matter
    assert_equal(first, fold(make_cell(spec, seed=1), tiny_tasks[:2], how)[-1])
    other = flat(fold(make_cell(spec, seed=2), tiny_tasks[:2], how)[-1])
    assert not all(torch.equal(tensor, other[key]) for key, tensor in flat(first).items())


@every_method
def test_computes_in_bfloat16_and_keeps_everything_else_in_float32(
    spec: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    cell, how = make_cell(spec), training(spec)
    exact = flat(fold(cell, tiny_tasks[:2], how)[-1])
    rounded = flat(fold(cell, tiny_tasks[:2], replace(how, precision="bf16"))[-1])
    assert {name: tensor.dtype for name, tensor in rounded.items()} == {name: t.dtype for name, t in exact.items()}
    assert all(tensor.isfinite().all() for tensor in rounded.values() if tensor.is_floating_point())
    assert any(not torch.equal(tensor, exact[name]) for name, tensor in rounded.items())


@every_method
def test_describes_itself(spec: str) -> None:
    """Its docstring has an entry under "Args:" for each option; that of a plugin of Avalanche is Avalanche's."""
    cls, name = configure(spec).cls, parse_spec(spec).name
    assert vars(cls)["__doc__"].strip()
    assert methods.summary(name).strip()
    if name != "avalanche":
        arguments = inspect.cleandoc(vars(cls)["__doc__"]).partition("Args:\n")[2]
        described = re.findall(r"^    (\w+(?:, \w+)*): ", arguments, re.MULTILINE)
        assert ", ".join(described).split(", ") == list(option_types(cls)) or not option_types(cls)


@every_method
def test_costs_are_found_without_data(spec: str) -> None:
    """All its hooks run on tensors without values, as they do for `cost`, `methods NAME` and --equal-*."""
    settings, shape = Settings(methods=(spec,), epochs=2, batch_size=8), StreamShape(2, 3, 20, 32)
    parameters, compute = estimate(settings, shape)
    assert parameters["state_bytes"].item() > 0
    assert compute["training_flops"].item() > 0


@every_method
def test_isolates_its_tasks_exactly_if_it_says_so(
    spec: str, make_cell: Callable[..., Cell], tiny_tasks: tuple[Task, ...]
) -> None:
    """Task 1 answers the same, bit for bit, after two more tasks, if and only if the method isolates tasks."""
    spec = {"hat": "hat:smax=20"}.get(spec, spec)  # harder gates may all be exactly open or closed, and do not leak
    cell, how = make_cell(spec), training(spec)
    _, one, *later = fold(cell, tiny_tasks, how)
    images = tiny_tasks[0].test.images
    with torch.no_grad():
        before, *after = (network_for(cell, state, 1, 3)(images) for state in (one, *later))
    unchanged = [torch.equal(before, logits) for logits in after]
    assert unchanged == [configure(spec).cls.isolates_tasks] * 2
    used = [{**state.shared, **state.tasks[1]} for state in (one, *later)]
    same_tensors = [all(torch.equal(used[0][key], state[key]) for key in used[0]) for state in used[1:]]
    assert unchanged == same_tensors or configure(spec).cls.isolates_tasks, "what has not changed answers the same"
