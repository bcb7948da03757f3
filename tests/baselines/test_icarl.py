"""iCaRL: who answers, what is kept for the next task, and what it costs. Its loss is in test_scenarios.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from baselines.icarl import ICaRL
from benchmark.checks.tiny import three_tasks
from benchmark.learning.evaluation import network_for
from benchmark.learning.learner import Cell, LearnedTask, learn, start
from benchmark.learning.training import Training
from methods import MemorySize
from methods.network import Network

TASKS = three_tasks("class")
ENDS = (3, 5, 9)


@pytest.fixture
def cell(tiny_network: Network) -> Cell:
    """With 20 images in the memory."""
    memory = MemorySize(images=20)
    return Cell(
        tiny_network, lambda: ICaRL(memory=memory), 4, 0, torch.device("cpu"), scenario="class", widths=(3, 2, 4)
    )


def learn_all(cell: Cell) -> list[LearnedTask]:
    found, state = [], start(cell)
    for task in TASKS:
        found.append(learn(cell, state, task, Training(ICaRL.recipe, epochs=2, batch_size=8)))
        state = found[-1].state
    return found


def test_the_answer_is_the_nearest_mean_of_exemplars(cell: Cell) -> None:
    """Image by image and class by class, for each task after each task, by distances between vectors of length 1."""
    for learned, end in zip(learn_all(cell), ENDS, strict=True):
        stored = learned.state.memory
        for number, task in enumerate(TASKS[: learned.state.learned], 1):
            network = network_for(cell, learned.state, number, len(task.classes))
            with torch.no_grad():
                exemplars, asked = (network.features(part) for part in (stored["replay.images"], task.test.images))
                answers = network(task.test.images).argmax(1)
            means = []
            for label in range(end):
                own = [f / f.norm() for f, c in zip(exemplars, stored["replay.labels"], strict=True) if c == label]
                mean = sum(own) / len(own)
                means.append(mean / mean.norm())
            expected = [min(range(end), key=lambda c, f=f: float((f / f.norm() - means[c]).norm())) for f in asked]
            assert answers.tolist() == expected


def test_a_class_without_exemplars_is_never_the_answer(tiny_network: Network) -> None:
    """Features may be negative, so that they are nearer to a mean of 0 than to those of both classes with exemplars."""
    backbone = nn.Sequential(tiny_network.backbone, nn.LayerNorm(5))
    network = Network(backbone, 5, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    memory = MemorySize(images=2)
    cell = Cell(network, lambda: ICaRL(memory=memory), 4, 0, torch.device("cpu"), scenario="class", widths=(3, 2, 4))
    for learned, end in zip(learn_all(cell), ENDS, strict=True):
        assert learned.state.memory["replay.labels"].tolist() == [0, 1]
        answering = network_for(cell, learned.state, learned.state.learned, end)
        images = torch.cat([task.test.images for task in TASKS])
        with torch.no_grad():
            features, logits = answering.features(images), answering(images)
        weight = answering.heads.take("shared")["heads.shared.weight"]
        assert ((features @ weight.T)[:, :2] < 0).all(1).any()
        assert set(logits.argmax(1).tolist()) <= {0, 1}
        assert logits.softmax(1).isfinite().all()


def test_the_trained_head_goes_on_where_it_was(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    begins, ends = [], []
    before, after = ICaRL.before_training_exp, ICaRL.after_training_exp

    def begin(self: ICaRL, step: object) -> None:
        before(self, step)
        begins.append({name: t.detach().clone() for name, t in step.model.heads.take("shared").items()})

    def end(self: ICaRL, step: object) -> None:
        ends.append({name: t.detach().clone() for name, t in step.model.heads.take("shared").items()})
        after(self, step)

    monkeypatch.setattr(ICaRL, "before_training_exp", begin)
    monkeypatch.setattr(ICaRL, "after_training_exp", end)
    found = learn_all(cell)
    for number, width in ((0, 3), (1, 5)):
        for name, trained in ends[number].items():
            assert torch.equal(begins[number + 1][name][:width], trained)
            assert torch.equal(found[number].state.memory[name.replace("heads.shared", "trained")], trained)
    # What answers is another head: rows of length 1 and no bias.
    for learned in found:
        head = learned.state.shared
        torch.testing.assert_close(head["heads.shared.weight"], normalize(head["heads.shared.weight"]))
        assert not head["heads.shared.bias"].any()


def test_what_is_kept_and_counted(cell: Cell) -> None:
    """The exemplars, and the trained head: 5 weights and a bias for each class so far."""
    for learned, end in zip(learn_all(cell), ENDS, strict=True):
        counted = learned.state.count_bytes()
        replay = 20 // end * end * (3 * 8 * 8 + 4)
        assert (counted["replay"], counted["memory"]) == (replay, replay + 4 * 6 * end)
        assert counted["heads"] == 4 * 6 * end
        assert set(learned.state.memory) == {
            *(f"replay.{part}" for part in ("images", "labels", "tasks")),
            *("trained.weight", "trained.bias"),
        }


def test_costs(cell: Cell) -> None:
    """Multiplications at 8x8: 64 positions x 6 x 27, whose images need no gradient, 64 x 5 x 6, heads of 5 x classes.

    From the second task on, the epochs go over the exemplars too, and the teacher answers once per batch. Then all
    images of the task are herded, and the exemplars give the means: a forward pass without head for each.
    """
    stored = 0
    for learned, end in zip(learn_all(cell), ENDS, strict=True):
        forward = 64 * 6 * 27 + 64 * 5 * 6
        step = 2 * 64 * 6 * 27 + 3 * 64 * 5 * 6 + 3 * 5 * end
        teacher = forward + 5 * end if learned.state.learned > 1 else 0
        images, stored = 40 + stored, 20 // end * end
        assert learned.operations == 2 * (2 * images * (step + teacher) + (40 + stored) * forward)
