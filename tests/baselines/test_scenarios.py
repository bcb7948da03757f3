"""The losses with one head for all tasks, computed again from their definitions, in double precision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.derpp import DERpp
from baselines.lwf import LwF
from benchmark.checks.tiny import make_task
from benchmark.learning.learner import Cell
from benchmark.learning.strategy import Strategy
from benchmark.learning.training import Training
from benchmark.storage.state import State
from benchmark.streams.base import Stream, Task
from benchmark.streams.columns import in_columns
from methods.data import Samples
from methods.network import Network

WIDTHS = (3, 2, 4)


@dataclass
class Made:
    """A step as it was made.

    Attributes:
        task: the number of its task.
        network: a copy from before the step.
        images, labels: the minibatch.
        loss: its loss.
        gradients: by name, as the optimiser saw them.
        replayed: the stored images that it used.
    """

    task: int
    network: Network
    images: Tensor
    labels: Tensor
    loss: Tensor
    gradients: dict[str, Tensor]
    replayed: dict[str, Tensor]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, drawn: list[dict[str, Tensor]]) -> list[Made]:
    """All steps of the test."""
    steps: list[Made] = []
    step = Strategy._step

    def record(self: Strategy) -> None:
        before = copy.deepcopy(self.model)
        step(self)
        gradients = {name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}
        last = drawn[-1] if drawn else {}
        batch = (self.mb_x, self.mb_y, self.loss.detach())
        steps.append(Made(self.bench.method.task, before, *batch, gradients, last))

    monkeypatch.setattr(Strategy, "_step", record)
    return steps


@pytest.fixture
def learn_all(
    make_cell: Callable[..., Cell], states: Callable[..., list[State]], tiny_network: Network
) -> Callable[..., list[State]]:
    """learn_all("class", "er:memory=9") -> the states after three tasks, in double precision."""

    def fold(scenario: str, spec: str, **options: Any) -> list[State]:
        cell = make_cell(spec, tiny_network.double(), **options)
        widths = WIDTHS if scenario == "class" else (3, 3, 3)
        tasks = tuple(make_task(number, width) for number, width in enumerate(widths, 1))
        tasks = in_columns(Stream("tiny", tasks), scenario).tasks
        cell = replace(cell, scenario=scenario, widths=widths, most_classes=max(widths))
        # The gradient is not limited, so that it can be compared.
        recipe = replace(cell.make_method().recipe, clip=0.0)
        return states(cell, tasks, Training(recipe, epochs=1, batch_size=8))

    return fold


def logits(network: Network, images: Tensor) -> Tensor:
    """By hand: features times weights, plus biases."""
    weights = network.heads.weights
    return network.features(images) @ weights[:, :-1].T + weights[:, -1]


def ce(logits: Tensor, labels: Tensor, columns: range) -> Tensor:
    """The mean of log sum exp(z) - z_y, the sum over some columns only."""
    chosen = logits[:, columns.start : columns.stop]
    return (chosen.logsumexp(1) - logits[torch.arange(len(labels)), labels]).mean()


def columns_of(choice: str, task: int) -> range:
    """The columns in the loss of a task's images. The three tasks have 3, 2 and 4 classes."""
    ends = (0, 3, 5, 9)
    return {"seen": range(ends[task]), "current": range(ends[task - 1], ends[task]), "all": range(9)}[choice]


def assert_same_loss(step: Made, expected: Tensor) -> None:
    """The loss, and its gradients."""
    torch.testing.assert_close(step.loss, expected.detach(), rtol=1e-10, atol=1e-12)
    expected.backward()
    for name, parameter in step.network.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(step.gradients[name], parameter.grad, rtol=1e-8, atol=1e-12, msg=name)


@pytest.mark.parametrize("choice", ["seen", "current", "all"])
def test_fine_tuning(choice: str, made: list[Made], learn_all: Callable[..., list[State]]) -> None:
    learn_all("class", f"sgd:logits={choice}")
    for step in (made[0], made[7], made[-1]):
        columns = columns_of(choice, step.task)
        assert_same_loss(step, ce(logits(step.network, step.images), step.labels, columns))
        others = torch.ones(len(step.network.heads.weights), dtype=torch.bool)
        others[columns.start : columns.stop] = False
        assert not step.gradients["heads.weights"][others].any()
    assert {int(label) for step in made if step.task == 3 for label in step.labels} == {5, 6, 7, 8}


@pytest.mark.parametrize("choice", ["seen", "current", "all"])
def test_replay(choice: str, made: list[Made], learn_all: Callable[..., list[State]]) -> None:
    learn_all("class", f"er:memory=12:logits={choice}")
    step = made[-1]
    both = logits(step.network, torch.cat([step.images, step.replayed["images"]]))
    new, old = both.split(8)
    everything = columns_of("all" if choice == "all" else "seen", 3)
    expected = ce(new, step.labels, columns_of(choice, 3)) + ce(old, step.replayed["labels"], everything)
    assert_same_loss(step, expected / 2)
    assert set(step.replayed["tasks"].tolist()) == {1, 2}
    assert all(
        (label < 3) == (task == 1)
        for label, task in zip(*(step.replayed[k].tolist() for k in ("labels", "tasks")), strict=True)
    )


def test_asymmetric_replay(made: list[Made], learn_all: Callable[..., list[State]]) -> None:
    """The public code's formula: a new image's logits of classes that are not in its minibatch are a large negative."""
    learn_all("class", "er-ace:memory=12")
    assert_same_loss(made[0], ce(logits(made[0].network, made[0].images), made[0].labels, range(3)))
    fewer = []
    for step in made[5:]:
        both = logits(step.network, torch.cat([step.images, step.replayed["images"]]))
        new, old = both.split(8)
        present = torch.zeros(both.shape[1], dtype=torch.bool)
        present[step.labels] = True
        fewer.append(int(present.sum()) < WIDTHS[step.task - 1])
        masked = torch.where(present, new, -1e9)
        everything = columns_of("seen", step.task)
        assert_same_loss(
            step, ce(masked, step.labels, everything) + ce(old, step.replayed["labels"].long(), everything)
        )
        # The task's own images are in the memory from the first step on.
        assert int(step.replayed["tasks"].max()) <= step.task
    assert len(fewer) == 10
    for task in (2, 3):
        assert any(task in step.replayed["tasks"] for step in made if step.task == task)
    assert any(fewer), "a minibatch in which a class is missing"


@pytest.mark.parametrize("choice", ["seen", "current", "all"])
def test_dark_replay(choice: str, made: list[Made], learn_all: Callable[..., list[State]]) -> None:
    learn_all("class", f"derpp:alpha=0.7:beta=0.4:memory=12:logits={choice}")
    step = made[-1]
    both = logits(step.network, torch.cat([step.images, step.replayed["images"]]))
    new, first, second = both.split(8)
    squares = []
    for index in range(8):
        width = 9 if choice == "all" else columns_of("seen", int(step.replayed["tasks"][index])).stop
        stored = step.replayed["logits"][index].double()
        assert not stored[width:].any()
        squares.append((first[index, :width] - stored[:width]).square().mean())
    everything = columns_of("all" if choice == "all" else "seen", 3)
    expected = ce(new, step.labels, columns_of(choice, 3)) + 0.7 * torch.stack(squares).mean()
    assert_same_loss(step, expected + 0.4 * ce(second, step.replayed["labels"][8:], everything))


@pytest.mark.parametrize("method", ["er", "derpp"])
def test_a_memory_that_is_filled_in_each_step(
    method: str, made: list[Made], learn_all: Callable[..., list[State]]
) -> None:
    """The second step replays images of the first one. Stored logits are those of the step that had the image."""
    one, *_, last = learn_all("class", f"{method}:memory=12:fill=during:bn=frozen")
    assert not made[0].replayed
    had = {image.numpy().tobytes(): (step, position) for step in made for position, image in enumerate(step.images)}
    assert len(had) == 3 * 40
    assert {had[image.numpy().tobytes()][0] is made[0] for image in made[1].replayed["images"]} == {True}
    assert {*made[-1].replayed["tasks"].tolist()} > {3}
    if method == "er":
        both = logits(made[1].network, torch.cat([made[1].images, made[1].replayed["images"]]))
        labels = torch.cat([made[1].labels, made[1].replayed["labels"]])
        assert_same_loss(made[1], ce(both, labels, range(3)))

    assert set(one.memory["replay.tasks"].tolist()) == {1}
    memory = last.memory
    assert (len(memory["replay.labels"]), int(memory["seen"])) == (12, 120)
    for row, image in enumerate(memory["replay.images"]):
        step, position = had[image.numpy().tobytes()]
        assert memory["replay.tasks"][row] == step.task
        assert memory["replay.labels"][row] == step.labels[position]
        if method == "derpp":
            expected = torch.zeros(9)
            expected[: columns_of("seen", step.task).stop] = logits(step.network, image[None]).detach()[0].float()
            torch.testing.assert_close(memory["replay.logits"][row], expected, rtol=1e-5, atol=1e-6)


def test_logits_of_new_classes_alone_cannot_be_stored() -> None:
    with pytest.raises(ValueError, match="fill=during stores the logits of the loss, so it needs logits=seen or"):
        DERpp(fill="during", logits="current")


def test_what_dark_replay_stores_are_the_logits_of_the_whole_head(
    made: list[Made], learn_all: Callable[..., list[State]]
) -> None:
    """Also where only the new classes are trained."""
    first, second, _ = learn_all("class", "derpp:memory=100:logits=current")
    assert first.memory["replay.logits"].shape == (40, 3)
    assert second.memory["replay.logits"].shape == (80, 5)
    stored = second.memory["replay.logits"]
    assert stored.isfinite().all()
    assert torch.equal(stored[:40, :3], first.memory["replay.logits"])
    assert not stored[:40, 3:].any()
    network = next(step.network for step in made if step.task == 3).eval()
    with torch.no_grad():
        expected = logits(network, second.memory["replay.images"][40:])
    torch.testing.assert_close(stored[40:], expected[:, :5].float(), rtol=1e-5, atol=1e-5)


def test_gradients_projected_on_those_of_stored_images(made: list[Made], learn_all: Callable[..., list[State]]) -> None:
    learn_all("class", "agem:memory=12")
    projected = 0
    for step in made:
        if step.task == 1:
            continue
        parameters = [p for p in step.network.parameters() if p.requires_grad]
        seen = columns_of("seen", step.task)
        batch = ce(logits(step.network, step.images), step.labels, seen)
        torch.testing.assert_close(step.loss, batch.detach())
        old = ce(logits(step.network, step.replayed["images"]), step.replayed["labels"], seen)
        g = torch.cat([part.flatten() for part in torch.autograd.grad(batch, parameters)])
        g_ref = torch.cat([part.flatten() for part in torch.autograd.grad(old, parameters)])
        if g @ g_ref < 0:
            g, projected = g - (g @ g_ref) / (g_ref @ g_ref) * g_ref, projected + 1
        names = [name for name, p in step.network.named_parameters() if p.requires_grad]
        torch.testing.assert_close(torch.cat([step.gradients[name].flatten() for name in names]), g)
    assert projected


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_distillation_on_all_old_columns(
    scenario: str, made: list[Made], learn_all: Callable[..., list[State]]
) -> None:
    learn_all(scenario, "lwf:strength=0.6:temperature=1.5")
    teacher = next(step.network for step in made if step.task == 3).eval()
    step = made[-1]
    new, old = (5, 5) if scenario == "class" else (0, 3)
    student = logits(step.network, step.images)
    with torch.no_grad():
        targets = (logits(teacher, step.images)[:, :old] / 1.5).softmax(1)
    distilled = -(targets * (student[:, :old] / 1.5).log_softmax(1)).sum(1).mean()
    assert_same_loss(step, ce(student, step.labels, range(new, student.shape[1])) + 0.6 * distilled)


@pytest.mark.parametrize("task", [1, 2, 3])
def test_distillation_class_by_class(task: int, made: list[Made], learn_all: Callable[..., list[State]]) -> None:
    """The public code's formula for icarl is the mean over images and classes; here it is the sum over classes."""
    states = learn_all("class", "icarl:memory=20")
    steps = [step for step in made if step.task == task]
    old, end = columns_of("current", task).start, columns_of("current", task).stop
    teacher = steps[0].network.eval()
    if task > 1:
        before = states[task - 2]
        assert torch.equal(teacher.heads.weights[:old, :-1], before.memory["trained.weight"])
        assert torch.equal(teacher.heads.weights[:old, -1], before.memory["trained.bias"])
        assert {int(label) for step in steps for label in step.labels} == set(range(end))
    for step in (steps[0], steps[1], steps[-1]):
        network = copy.deepcopy(step.network).train()
        sigmoid = 1 / (1 + (-logits(network, step.images)).exp())
        targets = torch.eye(9, dtype=torch.float64)[step.labels][:, :end]
        with torch.no_grad():
            targets[:, :old] = logits(teacher, step.images)[:, :old].sigmoid()
        bce = -(targets * sigmoid.log() + (1 - targets) * (1 - sigmoid).log()).mean()
        assert_same_loss(replace(step, network=network), end * bce)


@pytest.mark.parametrize("name", ["wa", "bic"])
@pytest.mark.parametrize("task", [1, 2, 3])
def test_distillation_by_the_share_of_old_classes(
    name: str, task: int, made: list[Made], learn_all: Callable[..., list[State]]
) -> None:
    states = learn_all("class", f"{name}:memory=20")
    steps = [step for step in made if step.task == task]
    old, end = columns_of("current", task).start, columns_of("current", task).stop
    teacher = copy.deepcopy(steps[0].network).eval()
    if task > 1:
        # The last task's head, as it answers: that of bic is corrected.
        teacher.heads.place(states[task - 2].shared)
        assert {int(label) for step in steps for label in step.labels} == set(range(end))
    for step in (steps[0], steps[1], steps[-1]):
        network = copy.deepcopy(step.network).train()
        student = logits(network, step.images)
        expected = ce(student, step.labels, range(end))
        if task > 1:
            with torch.no_grad():
                targets = (logits(teacher, step.images)[:, :old] / 2).softmax(1)
            distilled = -(targets * (student[:, :old] / 2).log_softmax(1)).sum(1).mean()
            expected = (1 - old / end) * expected + old / end * distilled
        assert_same_loss(replace(step, network=network), expected)


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_the_memory_alone(scenario: str, made: list[Made], learn_all: Callable[..., list[State]]) -> None:
    states = learn_all(scenario, "gdumb:memory=30")
    for step in made:
        seen = range(3) if scenario == "domain" else columns_of("seen", step.task)
        assert_same_loss(step, ce(logits(step.network, step.images), step.labels, seen))
        stored = states[step.task - 1].memory
        for image, label in zip(step.images, step.labels, strict=True):
            same = (stored["replay.images"] == image).flatten(1).all(1)
            assert stored["replay.labels"][same].tolist() == [int(label)]
    # 30 images in batches of 8, after each of three tasks.
    assert sum(len(step.labels) for step in made) == 3 * 30


@pytest.mark.parametrize(("scenario", "warmup"), [("class", 3), ("task", 2)])
def test_the_new_units_alone_are_trained_first(
    scenario: str,
    warmup: int,
    make_cell: Callable[..., Cell],
    states: Callable[..., list[State]],
    tiny_tasks: tuple[Task, ...],
    tiny_network: Network,
    learn_all: Callable[..., list[State]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Plain SGD on the cross entropy over the new classes, step by step; all else stays as the last task left it."""
    before: dict[int, Network] = {}
    after: dict[int, Network] = {}
    data: dict[int, Samples] = {}
    orders: list[Tensor] = []
    warm_up, randperm = LwF.warm_up, torch.randperm

    def remembered(*given: Any, **more: Any) -> Tensor:
        orders.append(randperm(*given, **more))
        return orders[-1]

    def record(self: LwF, step: Strategy) -> None:
        before[self.task], data[self.task] = copy.deepcopy(step.model), step.task_data
        orders.clear()
        with monkeypatch.context() as patched:
            patched.setattr(torch, "randperm", remembered)
            warm_up(self, step)
        after[self.task] = copy.deepcopy(step.model)

    def rows(network: Network) -> Tensor:
        """The units of all classes, each with its bias at the end."""
        heads = network.heads
        both = heads.weights if scenario == "class" else torch.cat([heads.weight, heads.bias[:, None]], 1)
        return both.detach().clone()

    monkeypatch.setattr(LwF, "warm_up", record)
    spec = f"lwf:warmup={warmup}"
    if scenario == "class":
        learn_all("class", f"{spec}:logits=seen")
    else:
        tiny_network.double()
        states(make_cell(spec), tiny_tasks)

    assert before.keys() == {2, 3}
    assert len(orders) == warmup
    assert not torch.equal(orders[0], orders[1])
    network, found = before[3].eval(), after[3]
    assert found.training
    with torch.no_grad():
        features = network.features(data[3].images)
    features = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    labels = torch.eye(4, dtype=torch.float64)[data[3].labels - (5 if scenario == "class" else 0)]
    weights = rows(network)
    for order in orders:
        for chosen in order.split(8):
            error = (features[chosen] @ weights[5:].T).softmax(1) - labels[chosen]
            weights[5:] -= LwF.recipe.lr * error.T @ features[chosen] / len(chosen)
    torch.testing.assert_close(rows(found), weights, rtol=1e-10, atol=1e-12)
    assert torch.equal(rows(found)[:5], rows(network)[:5])
    assert not torch.equal(weights[5:], rows(network)[5:])
    backbone = found.backbone.state_dict()
    assert all(torch.equal(tensor, backbone[name]) for name, tensor in network.backbone.state_dict().items())


@pytest.mark.parametrize(("choice", "width"), [("seen", 9), ("all", 9)])
def test_all_tasks_together(choice: str, width: int, made: list[Made], learn_all: Callable[..., list[State]]) -> None:
    states = learn_all("class", f"joint:logits={choice}")
    step = made[-1]
    assert_same_loss(step, ce(logits(step.network, step.images), step.labels, range(width)))
    assert {int(label) for step in made if step.task == 3 for label in step.labels} == set(range(9))
    assert states[1].shared["heads.shared.bias"].shape == ((9,) if choice == "all" else (5,))


@pytest.mark.parametrize("spec", ["ewc:strength=50", "ewc:strength=50:storage=summed", "online-ewc:strength=50"])
def test_the_head_is_protected_like_the_rest_and_new_classes_are_free(
    spec: str, made: list[Made], learn_all: Callable[..., list[State]]
) -> None:
    """lambda/2 times the sum of F (theta - theta*)^2, where a task's F and theta* end before the classes after it."""
    first, second, _ = learn_all("class", spec)
    step = made[-1]
    decay = 0.9 if spec.startswith("online") else 1.0
    theta = torch.cat([p.flatten() for p in step.network.parameters() if p.requires_grad])
    assert len(theta) == sum(p.numel() for p in step.network.backbone.parameters()) + 9 * 6
    pairs = (
        [("fisher.1", "anchor.1"), ("fisher.2", "anchor.2")] if spec == "ewc:strength=50" else [("fisher", "anchor")]
    )
    penalty = torch.zeros((), dtype=torch.float64)
    for fisher, anchor in pairs:
        kept = second.memory
        size = len(kept[fisher])
        penalty = penalty + (kept[fisher] * (theta[:size] - kept[anchor]).square()).sum()
    expected = ce(logits(step.network, step.images), step.labels, range(9)) + 50 / 2 * (
        decay * penalty + second.memory.get("rest", 0)
    )
    assert_same_loss(step, expected)
    assert len(first.memory["fisher.1" if "fisher.1" in first.memory else "fisher"]) == len(theta) - 6 * 6


@pytest.mark.parametrize("kind", ["exact", "sampled", "empirical", "weighted"])
def test_fisher_information_of_the_new_classes_alone(
    kind: str, made: list[Made], learn_all: Callable[..., list[State]]
) -> None:
    """Where only the new classes are in the loss, the old units have no part in it and no Fisher information."""
    _, second, _ = learn_all("class", f"ewc:fisher={kind}:logits=current")
    head = second.memory["fisher.2"][-30:].reshape(5, 6)
    assert torch.isfinite(second.memory["fisher.2"]).all()
    assert not head[:3].any()
    assert (head[3:] > 0).any(1).all()


def test_importance_of_the_path_begins_where_new_classes_begin(
    made: list[Made], learn_all: Callable[..., list[State]]
) -> None:
    """omega / ((theta - theta*)^2 + xi), where the anchor of new units is their first value."""
    first, second, _ = learn_all("class", "si:strength=2:damping=0.01")
    steps = [step for step in made if step.task == 2]
    parameters = [[p.detach() for p in step.network.parameters() if p.requires_grad] for step in steps]
    thetas = [torch.cat([p.flatten() for p in values]) for values in parameters]
    end = second.memory["anchor"]
    size = len(first.memory["anchor"])
    assert len(end) == size + 2 * 6
    torch.testing.assert_close(thetas[0][:size], first.memory["anchor"])
    omega = torch.zeros_like(end)
    for index, step in enumerate(steps):
        parts = [p for p in step.network.parameters() if p.requires_grad]
        batch = ce(logits(step.network, step.images), step.labels, range(5))
        g = torch.cat([part.flatten() for part in torch.autograd.grad(batch, parts)])
        after = thetas[index + 1] if index + 1 < len(steps) else end
        omega -= g * (after - thetas[index])
    before = torch.cat([first.memory["importance"], torch.zeros(12, dtype=torch.float64)])
    expected = before + (omega / ((end - thetas[0]).square() + 0.01)).relu()
    torch.testing.assert_close(second.memory["importance"], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "spec", ["sgd", "er:memory=12", "derpp:memory=12:alpha=0.3:beta=0.5", "agem:memory=12", "joint", "si", "sgd-ll"]
)
def test_one_head_for_all_domains(spec: str, made: list[Made], learn_all: Callable[..., list[State]]) -> None:
    """A head of three units from the start; labels are as they come, and cross entropy is over all three."""
    states = learn_all("domain", spec)
    assert all(state.shared["heads.shared.weight"].shape == (3, 5) for state in states)
    assert not any(name.startswith("heads.") for state in states for own in state.tasks.values() for name in own)
    step = next(step for step in made if step.task == 1)
    features = step.images if spec == "sgd-ll" else step.network.features(step.images)
    weights = step.network.heads.weights
    expected = ce(features @ weights[:, :-1].T + weights[:, -1], step.labels, range(3))
    assert_same_loss(step, expected)
    if spec.startswith("derpp"):
        last = made[-1]
        new, first, second = logits(last.network, torch.cat([last.images, last.replayed["images"]])).split(8)
        mse = (first - last.replayed["logits"][:8].double()).square().mean()
        replay = ce(second, last.replayed["labels"][8:], range(3))
        assert_same_loss(last, ce(new, last.labels, range(3)) + 0.3 * mse + 0.5 * replay)
