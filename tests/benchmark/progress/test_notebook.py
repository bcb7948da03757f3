"""Progress in the output of a notebook's cell."""

from __future__ import annotations

import pytest

from benchmark.progress import notebook
from benchmark.progress.events import CellBegan, TaskBegan
from methods.errors import UserError


class Output:
    """What would be shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        outputs.append(self)

    def show(self, renderable: object) -> None:
        self.shown.append(str(renderable))

    def clear(self) -> None:
        self.shown.append("")


outputs: list[Output] = []


@pytest.fixture(autouse=True)
def in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs.clear()
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    monkeypatch.setattr(notebook, "_Output", Output)


def test_nothing_is_left_of_what_was_told_while_a_run_was_prepared():
    with notebook.loading() as (note, _):
        note("loading backbone mini")
    assert outputs[0].shown == ["loading backbone mini", ""]


def test_nor_where_it_could_not_be_prepared():
    def prepare() -> None:
        with notebook.loading() as (note, _):
            note("loading backbone mini")
            raise UserError("--stream: there is no such stream")

    with pytest.raises(UserError):
        prepare()
    assert outputs[0].shown == ["loading backbone mini", ""]


def test_nor_of_the_bars_of_a_run_that_ends_in_an_error():
    def learn() -> None:
        with notebook.NotebookProgress(4) as progress:
            progress.handle(CellBegan("er, seed 0", 1, 0, 4))
            progress.handle(TaskBegan("er, seed 0", 1, "fungi"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn()
    assert len(outputs[0].shown) == 2
    assert outputs[0].shown[-1] == ""
