"""What belongs to the seconds of a training, on a clock that only the tests move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import flop_registry

from benchmark.learning.clock import Clock
from benchmark.learning.features import precompute
from benchmark.learning.learner import learn, start
from benchmark.learning.training import Training
from methods.method import Method
from methods.network import Network
from methods.recipe import Recipe

CPU = torch.device("cpu")

#: 40 images in each of the tasks: five steps.
HOW = Training(Recipe(), epochs=3, batch_size=8)


@dataclass
class Now:
    seconds: float = 0.0

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    """The time, which stands still unless a test moves it."""
    own = Now()
    monkeypatch.setattr("time.perf_counter", lambda: own.seconds)
    return own


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, now: Now) -> Callable[..., None]:
    """hook(name, seconds) -> this hook of every method takes so long; `seconds` may be a function of the step."""

    def set_hook(name: str, seconds: float | Callable[[Any], float]) -> None:
        def act(self: Method, step: Any) -> None:
            now.pass_by(seconds(step) if callable(seconds) else seconds)

        monkeypatch.setattr(Method, name, act)

    return set_hook


@pytest.fixture
def slow_counting(monkeypatch: pytest.MonkeyPatch, now: Now) -> None:
    """Counting a matrix product takes a hundred seconds."""
    formula = flop_registry[torch.ops.aten.addmm]

    def slow(*arguments: Any, **about: Any) -> int:
        now.pass_by(100.0)
        return formula(*arguments, **about)

    monkeypatch.setitem(flop_registry, torch.ops.aten.addmm, slow)


def test_steps_and_work_around_the_epochs_are_added(make_cell, tiny_tasks, hook):
    for name, seconds in {
        "before_training_exp": 1000.0,
        "before_training_epoch": 100.0,
        "before_backward": 1.0,
        "after_training_epoch": 10000.0,
        "after_training_exp": 5000.0,
    }.items():
        hook(name, seconds)
    cell = make_cell("sgd")
    timing = learn(cell, start(cell), tiny_tasks[0], HOW).timing
    assert timing.training == pytest.approx(1000 + 3 * (100 + 5 + 10000) + 5000)
    assert timing.epochs == pytest.approx([5, 5, 5])
    assert timing.spread == pytest.approx(0)


@pytest.mark.parametrize("method", ["sgd", "ewc", "linear-probe"])
def test_counting_takes_no_time(method, make_cell, tiny_tasks, hook, slow_counting):
    """In steps, in the Fisher information after the epochs, and in features before them."""
    if method == "sgd":
        hook("before_backward", 1.0)
    cell = make_cell(method)
    timing = learn(cell, start(cell), tiny_tasks[0], HOW).timing
    assert timing.training == pytest.approx(15 if method == "sgd" else 0)


def test_counting_takes_no_time_where_every_step_is_counted(make_cell, tiny_tasks, hook, slow_counting):
    hook("before_backward", 1.0)
    cell = make_cell("sgd")
    timing = learn(cell, start(cell), tiny_tasks[0], replace(HOW, batch_size=40)).timing
    assert timing.epochs == pytest.approx([1, 1, 1])


def test_the_first_step_of_a_process_is_no_slower_than_the_others(make_cell, tiny_tasks, hook):
    """With one epoch there is no other epoch to look at."""
    hook("before_backward", lambda step: 1.0 if step.steps_done else 500.0)
    cell = make_cell("sgd")
    timing = learn(cell, start(cell), tiny_tasks[0], replace(HOW, epochs=1)).timing
    assert timing.training == pytest.approx(5)
    assert timing.spread is None


def test_a_smaller_step_counts_per_image(make_cell, tiny_tasks, hook):
    """Of 40 images the counted step has 15; 15 and 10 follow."""
    hook("before_backward", lambda step: len(step.images) / 10 if step.steps_done else 500.0)
    cell = make_cell("sgd")
    assert learn(cell, start(cell), tiny_tasks[0], replace(HOW, epochs=1, batch_size=15)).seconds == pytest.approx(4)


def test_a_last_step_with_few_images_does_not_make_the_others_slow(make_cell, tiny_tasks, hook):
    """Of 40 images the counted step has 38. Both steps take a second, as on a GPU that waits for launches."""
    hook("before_backward", 1.0)
    cell = make_cell("sgd")
    timing = learn(cell, start(cell), tiny_tasks[0], replace(HOW, batch_size=38)).timing
    assert timing.epochs == pytest.approx([2, 2, 2])


def test_epochs_count_as_the_fastest_and_spread_to_the_median(make_cell, tiny_tasks, hook):
    """The first epoch compiles and plans; something disturbs the third."""
    epochs = {1: 70.0, 2: 1.0, 3: 4.0, 4: 1.5}
    hook("before_backward", lambda step: epochs[int(step.clock.train_exp_epochs) + 1])
    cell = make_cell("sgd")
    timing = learn(cell, start(cell), tiny_tasks[0], replace(HOW, epochs=4)).timing
    assert timing.epochs == pytest.approx([350, 5, 20, 7.5])
    assert timing.training == pytest.approx(4 * 5)
    # The median of four is the mean of the two in the middle.
    assert timing.spread == pytest.approx(4 * (20 + 7.5) / 2 - 4 * 5)


def test_epochs_that_do_other_work_are_not_compared(make_cell, tiny_tasks, hook, monkeypatch):
    """The backbone is trained in the last two of four epochs, which take longer."""
    begun = []

    def before_training_epoch(self: Method, step: Any) -> None:
        begun.append(0)
        step.model.backbone.requires_grad_(len(begun) > 2)

    monkeypatch.setattr(Method, "before_training_epoch", before_training_epoch)
    hook("before_backward", lambda step: {1: 2.0, 2: 1.0, 3: 9.0, 4: 8.0}[len(begun)])
    cell = make_cell("sgd")
    timing = learn(cell, start(cell), tiny_tasks[0], replace(HOW, epochs=4)).timing
    assert timing.epochs == pytest.approx([10, 5, 45, 40])
    assert timing.training == pytest.approx(2 * 5 + 2 * 40)


def test_epochs_in_which_more_images_pass_are_not_compared(make_cell, tiny_tasks, monkeypatch, now):
    def before_backward(self: Method, step: Any) -> None:
        now.pass_by(1.0)
        if step.epoch == 2:
            now.pass_by(1.0)
            step.loss += step.model(step.images).square().mean()

    monkeypatch.setattr(Method, "before_backward", before_backward)
    cell = make_cell("sgd")
    timing = learn(cell, start(cell), tiny_tasks[0], HOW).timing
    assert timing.training == pytest.approx(5 + 10 + 5)


def test_messages_take_no_time(make_cell, tiny_tasks, hook, now):
    hook("before_backward", 1.0)
    cell = make_cell("sgd")
    learned = learn(cell, start(cell), tiny_tasks[0], HOW, on_epoch=lambda: now.pass_by(1000.0))
    assert learned.seconds == pytest.approx(15)


def test_the_first_pass_through_a_gpu_is_not_in_the_seconds_of_features(tiny_network, tiny_tasks, monkeypatch, now):
    sizes: list[int] = []

    def slow(self: Network, images: torch.Tensor) -> torch.Tensor:
        now.pass_by(1.0 * len(images) if sizes else 500.0)
        sizes.append(len(images))
        return torch.zeros(len(images), 5)

    class Device:
        """Named as a GPU; what is moved to it stays where it is."""

        type = "cuda"

    monkeypatch.setattr(Network, "features", slow)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: self)
    monkeypatch.setattr("benchmark.learning.features.torch.empty", lambda *size, **where: torch.zeros(size))
    clock = Clock(Device())
    precompute(tiny_network, tiny_tasks[0].train, Device(), "fp32", clock)
    assert sizes == [1, 40]
    assert clock.read().training == pytest.approx(40)


def test_a_gpu_is_waited_for_once_around_each_part(monkeypatch, now):
    """Otherwise the clock would see when work is given to the GPU, and not when it is done."""
    queue: list[float] = []

    def synchronize(device: torch.device) -> None:
        now.pass_by(sum(queue))
        queue.clear()

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    clock = Clock(torch.device("cuda"))
    queue.append(2.0)
    clock.begin_epoch()
    with clock.aside(8):
        queue.append(50.0)
    queue.extend([3.0, 3.0])
    clock.end_epoch(24, "a kind")
    queue.append(1.0)
    timing = clock.read()
    assert timing.epochs == pytest.approx([9])
    assert timing.training == pytest.approx(2 + 9 + 1)
