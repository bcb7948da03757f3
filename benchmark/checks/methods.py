"""The contract of a method: it learns, can be saved and loaded, and then continues identically."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch

from benchmark.checks.base import (
    Check,
    WrongError,
    move_random_states,
    process_state,
    refuse_changes,
    same_bytes,
    state_before,
)
from benchmark.checks.batches import BATCH_CHECKS
from benchmark.checks.costs import COST_CHECKS
from benchmark.checks.forward import compared
from benchmark.checks.gpu import GPU_CHECK
from benchmark.checks.lost import watched
from benchmark.checks.options import OPTION_CHECKS, place_of
from benchmark.checks.subject import CPU, MethodSubject, file_of, flat
from benchmark.learning.answering import Answering
from benchmark.learning.evaluation import evaluate, network_for
from benchmark.learning.learner import is_independent, learn, prepare, start
from benchmark.learning.operations import inference_operations_per_image
from benchmark.planning.usable import changes_nothing
from benchmark.results.answers import accuracy
from benchmark.storage.state import load, pack, save
from methods.configured import configure
from methods.heads import is_head
from methods.method import STEP_HOOKS, Method
from methods.mistakes import misspelt_hooks, resembling
from methods.network import Network
from methods.options import option_types, value_text
from methods.recipe import Range, Recipe


def search_is_valid(subject: MethodSubject) -> None:
    """`tune` tries only existing options, with accepted values."""
    known = {*option_types(subject.cls), *(option_types(Recipe) if subject.cls.learns_in_steps else ())}
    for name, space in subject.cls.search.items():
        if name not in known:
            raise WrongError(
                f"{place_of(subject.cls)}: search names '{name}', which is no option; options are "
                f"{', '.join(sorted(known))}"
            )
        for value in (space.low, space.high) if isinstance(space, Range) else space:
            wanted = option_types(subject.cls).get(name)
            text = value_text(int(value) if wanted is int else value)
            bare = re.sub(rf":{name}=[^:]*", "", str(subject.spec))
            configure(f"{bare}:{name}={text}")


def parts_are_valid(subject: MethodSubject) -> str | None:
    """`part` returns "frozen", "shared" or "task" for each tensor of the backbone."""
    prepare(subject.cell(), 1)
    if changes_nothing(subject.network().to("meta"), subject.method, subject.scenario):
        return (
            "it finds nothing to change in this backbone: it trains heads alone, as linear-probe does; --backbone "
            "checks it on another one, for example --backbone mini-vit"
        )
    return None


def fills_what_runs(subject: MethodSubject) -> str | None:
    """Without gradient steps, it fills no hook of a step or an epoch; and no name is a misspelt one."""
    of_epochs = ("training_data", "forward", "before_training_epoch", "after_training_epoch")
    filled = [hook for hook in (*of_epochs, *STEP_HOOKS) if getattr(subject.cls, hook) is not getattr(Method, hook)]
    if filled and not subject.cls.learns_in_steps:
        raise WrongError(
            f"learns_in_steps is False, so that {filled[0]} never runs; use before_training_exp or after_training_exp, "
            "or say learns_in_steps = True"
        )
    if wrong := misspelt_hooks(subject.cls, surely=True):
        raise WrongError(wrong[0])
    notes = [*misspelt_hooks(subject.cls), *resembling(subject.cls)]
    return f"NOTE: {notes[0]}" if notes else None


def learns_tasks(subject: MethodSubject) -> None:
    """It learns three tasks in sequence, and a fresh instance answers for each."""
    for learned in subject.learned:
        state = learned.state
        for number, task in enumerate(subject.tasks[: state.learned], 1):
            cell, classes = subject.cell(), len(task.classes)
            wanted = [len(task.test), cell.answered(state.learned, classes)]
            logits = network_for(cell, state, number, classes)(task.test.images)
            if list(logits.shape) != wanted:
                raise WrongError(
                    f"its network gives {list(logits.shape)} logits for {wanted[0]} images of {wanted[1]} "
                    "classes; let the network answer with the task's head"
                )


def learns_something(subject: MethodSubject) -> None:
    """After twenty epochs, its accuracy on a task's training images is well above chance."""
    recipe = replace(subject.cls.recipe, lr=0.05, schedule="constant")
    when = "after 20 epochs" if subject.cls.learns_in_steps else "after a pass over the images"
    cell, task = subject.cell(), subject.tasks[0]
    before = prepare(cell, 1).take("task")
    after = subject.fold(cell, [task], recipe=recipe, epochs=20)[-1].state
    answers = evaluate(network_for(cell, after, 1, 3), task.train, CPU)
    right = accuracy(answers.classes, task.train.labels)
    if right <= 0.5:
        raise WrongError(
            f"{when} it answers {right:.0%} of a task's training images right, where chance is "
            "33 %; see that "
            "what it trains is 'shared' or 'task' and takes part in the loss"
        )
    if before.keys() != {key for key in after.tasks[1] if not is_head(key)}:
        raise WrongError("it stores other tensors of a task than it began with; part must answer the same each time")
    if before and all(torch.equal(after.tasks[1][key], tensor) for key, tensor in before.items()):
        raise WrongError(f"no tensor of the part 'task' changed {when}; train them, or call them 'frozen'")


def keeps_its_input(subject: MethodSubject) -> None:
    """Learning changes neither the previous state nor the images."""
    cell, task, state = subject.cell(), subject.tasks[1], subject.states[1]
    before = {key: tensor.clone() for key, tensor in flat(state).items()}
    learn(cell, state, task, subject.training())
    same_bytes(before, flat(state), "of the state before was written into; clone() what is to be changed")
    for given, used in zip(subject.fresh_tasks(), subject.tasks, strict=True):
        for name in ("images", "labels"):
            first, now = ({name: getattr(task.train, name)} for task in (given, used))
            same_bytes(first, now, f"of {used.name} were written into; clone() them first")


def frozen_stays(subject: MethodSubject) -> None:
    """Frozen tensors are neither changed nor stored."""
    cell, state = subject.cell(), subject.states[2]
    bench, names = prepare(cell, 1), {key for key, _, _ in cell.pristine.tensors()}
    # `adapt` may replace what is frozen by what follows from the seed.
    given = {key: tensor.detach() for key, _, tensor in bench.network.tensors() if key in names}
    frozen = {key for key, part in bench.parts.items() if part == "frozen"}
    for name in sorted(frozen):
        if name in state.shared or any(name in own for own in state.tasks.values()):
            raise WrongError(
                f"'{name}' is frozen and is stored all the same; stored must return the names that it gets"
            )
    if subject.live is None:
        return
    live = {key: tensor.detach() for key, _, tensor in subject.live.tensors() if key in frozen and key in given}
    same_bytes(
        {key: given[key] for key in live},
        live,
        "is frozen and was changed; call it 'shared' or 'task', or leave it alone",
    )


def state_is_all(subject: MethodSubject) -> None:
    """All earlier learning is in the state, and nowhere else."""
    cell = subject.cell()
    subject.fold(subject.cell(seed=1), subject.tasks[:2])
    lost: list[str] = []
    watching = replace(cell, make_method=lambda: watched(subject.make(), lost))
    again = learn(watching, subject.states[1], subject.tasks[1], subject.training()).state
    if lost:
        raise WrongError(
            f"after_training_exp sets self.{lost[0]}, which is lost: a new instance is made for each task; put it into "
            "self.kept"
        )
    same_bytes(
        flat(subject.states[2]),
        flat(again),
        "is another one if other tasks were learned in between, from the same state: something is kept in "
        "the class, in "
        "the module or in a default value; put it into self.kept",
    )


def answers_again(subject: MethodSubject) -> str | None:
    """A fresh instance with the stored tensors gives the same answers as the network that learned."""
    cell, task = subject.cell(), subject.tasks[1]
    differs: list[float] = []
    comparing = replace(cell, make_method=lambda: compared(subject.make(), differs))
    state = learn(comparing, subject.states[1], task, subject.training()).state
    live = subject.live
    if live is None:
        return None
    live.eval()
    with torch.no_grad():
        restored = network_for(cell, state, 2, len(task.classes))(task.test.images)
        # In training, some logits may be closed, and others there for classes that are yet to come.
        learned = live.answer(live.features(task.test.images), whole=True)[:, : restored.shape[1]]
    if not torch.allclose(learned, restored, rtol=1e-4, atol=1e-5):
        off = (learned - restored).abs().max().item()
        raise WrongError(
            "the network answers otherwise once it is made from the state (logits differ by up to "
            f"{off:.2g}): something "
            "that was learned is no parameter or buffer, or is frozen; make it one, and let part call it "
            "'shared' or 'task'"
        )
    # What has modules of its own in the network lets these act on an answer: a part of them may be trained alone.
    if not differs or _modules(live) != _modules(cell.pristine):
        return None
    return (
        f"NOTE: forward gives other logits than those that answer (they differ by up to {differs[0]:.2g}); it is for "
        "training only: what must also act on an answer is a module put into the network by adapt"
    )


def _modules(network: Network) -> list[tuple[str, type]]:
    return [(name, type(module)) for name, module in network.backbone.named_modules()]


def switches_tasks(subject: MethodSubject) -> None:
    """A network that answered for another task gives the same bits as a new one, for the same operations."""
    cell = subject.cell()
    kept = Answering(cell)
    for state in subject.states[2:]:
        for number, task in enumerate(subject.tasks[: state.learned], 1):
            classes, images = len(task.classes), task.test.images
            new = network_for(cell, state, number, classes)
            with torch.no_grad():
                same = torch.equal(new(images), kept.network(state, number, classes)(images))
            if not same:
                raise WrongError(
                    f"task {number} answers otherwise in a network that answered for another task before; let "
                    "switch_task change all that adapt makes from self.task and self.generator, or leave it out"
                )
            size = subject.size
            if kept.operations(state, number, classes, size) != inference_operations_per_image(new, new.classes, size):
                raise WrongError(
                    f"task {number} needs other operations for an image than the tasks before; leave switch_task out"
                )


def resumes(subject: MethodSubject) -> None:
    """After the state is written and read, learning gives the same bits as without interruption."""
    checksums: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for before, state in pairwise(subject.states[:3]):
            packed = pack(state, before, checksums)
            save(Path(folder), packed, {"learned": state.learned})
            checksums = packed.checksums
        loaded, _ = load(Path(folder), lambda: subject.states[0])
    same_bytes(flat(subject.states[2]), flat(loaded), "is not read as it was written; keep contiguous copies")
    subject.fold(subject.cell(seed=1), subject.tasks[:2])
    again = learn(subject.cell(), loaded, subject.tasks[2], subject.training()).state
    same_bytes(
        flat(subject.states[3]),
        flat(again),
        "is another one after a stop and a start: something was kept elsewhere; put it into self.kept",
    )


def isolates(subject: MethodSubject) -> str | None:
    """If the method says that it isolates tasks, the answers for task 1 keep the same bits after two more tasks."""
    cell, states, images = subject.cell(), subject.states[1:], subject.tasks[0].test.images
    with torch.no_grad():
        before, *after = (network_for(cell, state, 1, 3)(images) for state in states)
    changed = [number for number, logits in enumerate(after, 2) if not torch.equal(before, logits)]
    if not subject.cls.isolates_tasks or subject.scenario != "task":
        told = "task 1 answers the same after all tasks; if that is always so, isolates_tasks = True says it"
        return None if changed or subject.scenario != "task" else told
    if changed:
        raise WrongError(
            f"isolates_tasks is True, and task 1 answers otherwise after task {changed[0]}; say False, or "
            "let nothing that "
            "its answers depend on be 'shared'"
        )
    return None


def knows_no_number(subject: MethodSubject) -> None:
    """An independent task gives the same result at any place in the stream."""
    if not is_independent(subject.cell()):
        return
    turned = subject.tasks[::-1]
    states = subject.fold(subject.cell(tasks=turned), turned)
    for number in (1, 2, 3):
        same_bytes(
            file_of(subject.states[3], number),
            file_of(states[-1].state, 4 - number),
            f"of {subject.tasks[number - 1].name} depends on the task's place, although isolates_tasks is "
            "True and nothing "
            "is shared; do not use self.task nor what is kept of other tasks, or say isolates_tasks = False",
        )


def same_seed(subject: MethodSubject) -> None:
    """The same seed gives the same bytes, with any global random state."""
    subject.states  # noqa: B018  # compute before the random states are moved
    move_random_states()
    again = subject.fold(subject.cell(), subject.tasks[:2])[-1].state
    same_bytes(
        flat(subject.states[2]),
        flat(again),
        "is another one in a second run of the same seed; draw random numbers from self.generator only",
    )


def other_seed(subject: MethodSubject) -> None:
    """Another seed gives another result."""
    if not subject.cls.learns_in_steps:
        # Neither the order of images nor the first weights of a head need change anything.
        return
    first, other = flat(subject.states[2]), flat(subject.fold(subject.cell(seed=1), subject.tasks[:2])[-1].state)
    if first.keys() == other.keys() and all(torch.equal(tensor, other[key]) for key, tensor in first.items()):
        raise WrongError("another seed gives the very same bytes; draw from self.generator, and set no seed")


def computes_in_bfloat16(subject: MethodSubject) -> None:
    """--precision bf16 works, and the stored tensors keep their types."""
    exact = flat(subject.states[2])
    rounded = flat(subject.fold(subject.cell(), subject.tasks[:2], precision="bf16")[-1].state)
    for name, tensor in exact.items():
        if name not in rounded or rounded[name].dtype != tensor.dtype:
            kind = rounded[name].dtype if name in rounded else "missing"
            raise WrongError(f"'{name}' is {tensor.dtype} and with --precision bf16 {kind}; store it as .float()")
    refuse_not_finite(rounded, exact, "with --precision bf16; compute it from .float()")
    if all(torch.equal(tensor, rounded[name]) for name, tensor in exact.items()):
        raise WrongError("--precision bf16 changes nothing: it computes outside the harness's pass; use step.model")


def copes_with_spare_layers(subject: MethodSubject) -> None:
    """It works with parameters that the loss does not use, whose gradient is None."""
    cell = subject.cell(network=subject.network(spare=True))
    spare = flat(subject.fold(cell, subject.tasks[:2])[-1].state)
    refuse_not_finite(spare, flat(subject.states[2]), "on a backbone with layers that its forward pass does not use")


def refuse_not_finite(tensors: dict[str, torch.Tensor], usual: dict[str, torch.Tensor], cause: str) -> None:
    """Refuse stored numbers that are not finite.

    Args:
        usual: the same tensors without what is checked.
        cause: what is checked, and what to do about it.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            if name in usual and not usual[name].isfinite().all():
                cause = "in any run; store finite numbers, for example 0 in place of -inf"
            raise WrongError(f"'{name}' is not finite {cause}")


def leaves_the_process_alone(subject: MethodSubject) -> None:
    """It does not change threads, default types and random states of the process."""
    cell = subject.cell()
    before = state_before()
    learn(cell, start(cell), subject.tasks[0], subject.training())
    changed = [name for name, value in process_state().items() if value != before[name]]
    # The learner sets this seed once, for the whole training.
    if torch.initial_seed() != cell.derive(1, "training"):
        changed.append("torch's seed")
    refuse_changes(changed)


METHOD_CHECKS: tuple[Check[MethodSubject], ...] = (
    *OPTION_CHECKS,
    Check("what tune tries are options and values", search_is_valid, "mend `search`"),
    Check("part says frozen, shared or task of each tensor", parts_are_valid, basis=True),
    Check("a hook that it fills is called", fills_what_runs),
    Check("learns three tasks and answers for each", learns_tasks, basis=True),
    Check("learns something", learns_something),
    Check("leaves alone the state before, and the images", keeps_its_input),
    Check("leaves alone what is frozen", frozen_stays),
    Check("everything that crosses a task is in the state", state_is_all),
    Check("a fresh instance answers the same", answers_again),
    Check("answers the same in a kept network", switches_tasks),
    *BATCH_CHECKS,
    Check("goes on after a stop as without one", resumes),
    Check("isolates_tasks is true to its word", isolates),
    Check("an independent task does not know its number", knows_no_number),
    Check("the same seed gives the same bytes", same_seed),
    Check("another seed gives other bytes", other_seed),
    *COST_CHECKS,
    Check("computes in bfloat16", computes_in_bfloat16, "use .float(), or .to(x.dtype), where two types meet"),
    GPU_CHECK,
    Check("copes with parameters without a gradient", copes_with_spare_layers, "skip parameters whose grad is None"),
    Check("leaves the rest of the process alone", leaves_the_process_alone),
)
