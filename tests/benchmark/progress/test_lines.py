"""Progress as lines: which there are, and what they say of the time left."""

from __future__ import annotations

from benchmark.progress.events import (
    CellBegan,
    CellEnded,
    CellFailed,
    EpochDone,
    Guessing,
    Note,
    TaskBegan,
    Told,
    Warned,
)
from benchmark.progress.lines import Lines


class Run:
    """Lines with a clock that stands still until it is set."""

    def __init__(self, epochs: int, each_epoch: bool = False):
        self.now, self.lines = 100.0, []
        self.told = Lines(epochs, self.lines.append, each_epoch, lambda: self.now)

    def after(self, seconds: float, *events: object) -> list[str]:
        """The lines that events bring so many seconds after the last ones."""
        self.now += seconds
        before = len(self.lines)
        for event in events:
            self.told.handle(event)
        return self.lines[before:]


def test_each_task_learned_has_a_line_with_the_time_left() -> None:
    run = Run(epochs=8)
    assert run.after(0, CellBegan("er, seed 0", 2, 0, 2), TaskBegan("er, seed 0", 1, "fungi")) == []
    assert run.after(30, EpochDone("er, seed 0"), EpochDone("er, seed 0")) == []
    assert run.after(10, TaskBegan("er, seed 0", 2, "birds")) == [
        "[0:00:40] er, seed 0: task 1, fungi, learned; 25% of the run, about 0:02:00 left"
    ]
    run.after(40, EpochDone("er, seed 0"), EpochDone("er, seed 0"))
    assert run.after(0, CellEnded("er, seed 0")) == [
        "[0:01:20] er, seed 0: task 2, birds, learned; 50% of the run, about 0:01:20 left"
    ]


def test_what_an_earlier_process_learned_counts_as_done_and_not_as_speed() -> None:
    run = Run(epochs=8)
    run.after(0, CellBegan("er, seed 0", 4, 2, 2), TaskBegan("er, seed 0", 3, "cars"))
    assert run.after(20, EpochDone("er, seed 0"), EpochDone("er, seed 0"), CellEnded("er, seed 0")) == [
        "[0:00:20] er, seed 0: task 3, cars, learned; 75% of the run, about 0:00:20 left"
    ]


def test_a_cell_that_begins_again_is_not_counted_twice() -> None:
    run = Run(epochs=4)
    began = (CellBegan("er, seed 0", 2, 0, 2), TaskBegan("er, seed 0", 1, "fungi"), EpochDone("er, seed 0"))
    run.after(10, *began)
    run.after(10, *began)
    # Three epochs were made, and two are done.
    assert run.after(10, EpochDone("er, seed 0"), CellEnded("er, seed 0")) == [
        "[0:00:30] er, seed 0: task 1, fungi, learned; 50% of the run, about 0:00:20 left"
    ]


def test_a_task_is_learned_before_its_answers_without_the_task_are_made() -> None:
    run = Run(epochs=2)
    run.after(0, CellBegan("clr, seed 0", 1, 0, 1), TaskBegan("clr, seed 0", 1, "fungi"), EpochDone("clr, seed 0"))
    (line,) = run.after(0, Guessing("clr, seed 0", 1), Guessing("clr, seed 0", 1), CellEnded("clr, seed 0"))
    assert "task 1, fungi, learned" in line


def test_a_failure_and_a_warning_have_a_line_and_a_failed_task_is_not_learned() -> None:
    run = Run(epochs=2)
    run.after(0, CellBegan("er, seed 0", 1, 0, 1), TaskBegan("er, seed 0", 1, "fungi"))
    assert run.after(5, CellFailed("er, seed 0", "no luck\x1b"), CellEnded("er, seed 0")) == [
        "er, seed 0 failed: no luck\\x1b"
    ]
    # A cell may fail before it begins.
    assert run.after(0, CellFailed("clr, seed 0", "no")) == ["clr, seed 0 failed: no"]
    said = run.after(0, Warned("slow"), Note("drawing"), Told("task one: 3 classes"))
    assert said == ["warning: slow", "[0:00:05] drawing", "task one: 3 classes"]


def test_each_epoch_has_a_line_if_it_is_asked_for() -> None:
    run = Run(epochs=2, each_epoch=True)
    run.after(0, CellBegan("er, seed 0", 1, 0, 2), TaskBegan("er, seed 0", 1, "fungi"))
    assert run.after(10, EpochDone("er, seed 0")) == [
        "[0:00:10] er, seed 0: task 1, fungi, epoch 1 of 2; 50% of the run, about 0:00:10 left"
    ]


def test_a_method_without_steps_has_lines_too() -> None:
    run = Run(epochs=0)
    run.after(0, CellBegan("ncm, seed 0", 1, 0, 1), TaskBegan("ncm, seed 0", 1, "fungi"))
    assert run.after(0, CellEnded("ncm, seed 0")) == ["[0:00:00] ncm, seed 0: task 1, fungi, learned"]
