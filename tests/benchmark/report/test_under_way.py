"""The lines that say how far a run is."""

from __future__ import annotations

from dataclasses import replace

from benchmark.report.under_way import lines_of
from benchmark.results.under_way import CellUnderWay, UnderWay

CELLS = (
    CellUnderWay("clr, seed 0", "succeeded", 4, "", 0.8125, 0.0, ""),
    CellUnderWay("er, seed 0", "running", 1, "shapes", 0.5, 200.0, ""),
    CellUnderWay("ewc, seed 0", "diverged", 1, "", 0.25, 300.0, "DivergedError: no finite loss"),
    CellUnderWay("si, seed 0", "pending", 0, "", None, None, ""),
)
VIEW = UnderWay(True, "running", "four on tiny", 4, CELLS, 3725.0, 500.4, 12.0)


def test_a_run_that_goes_on() -> None:
    assert lines_of(VIEW) == [
        "four on tiny",
        "going on for 1 h 2 min; 6 of 16 tasks learned; about 8 min 20 s left; last written 12 s ago",
        "",
        "cell         status     tasks  learns now  accuracy (%)        left",
        "clr, seed 0  succeeded    4/4  –                   81.2           –",  # noqa: RUF001
        "er, seed 0   running      1/4  shapes              50.0  3 min 20 s",
        "ewc, seed 0  diverged     1/4  –                   25.0           –",  # noqa: RUF001
        "si, seed 0   pending      0/4  –                      –           –",  # noqa: RUF001
        "",
        "ewc, seed 0 diverged: DivergedError: no finite loss",
    ]


def test_the_end_of_a_run() -> None:
    drawing = replace(VIEW, cells=CELLS[:1])
    assert lines_of(drawing)[1] == (
        "going on for 1 h 2 min; 4 of 4 tasks learned; making tables and figures; last written 12 s ago"
    )
    ended = replace(VIEW, goes_on=False, status="failed", left=None)
    assert lines_of(ended)[1] == "failed after 1 h 2 min; 6 of 16 tasks learned"
    # Whoever was interrupted could not say so.
    assert lines_of(replace(ended, status="running"))[1] == "interrupted after 1 h 2 min; 6 of 16 tasks learned"
    assert lines_of(replace(ended, status="running"))[5].split()[3:5] == ["interrupted", "1/4"]


def test_what_is_not_known() -> None:
    assert "; time left: not known yet; " in lines_of(replace(VIEW, left=None))[1]
    assert lines_of(UnderWay(True, "", "mine", 0, (), 0.0, None, 0.0)) == ["mine: being prepared"]


def test_with_little_room_what_happens_is_shown_first() -> None:
    assert lines_of(VIEW, height=10)[3:] == [
        "cell         status    tasks  learns now  accuracy (%)        left",
        "er, seed 0   running     1/4  shapes              50.0  3 min 20 s",
        "ewc, seed 0  diverged    1/4  –                   25.0           –",  # noqa: RUF001
        "and 1 succeeded, 1 pending",
        "",
        "ewc, seed 0 diverged: DivergedError: no finite loss",
    ]
    assert [len(lines_of(VIEW, height)) for height in (1, 4, 20)] == [1, 4, 10]


def test_names_do_nothing_but_be_read() -> None:
    cell = replace(CELLS[1], name="er\x1b[31m", task="a\nb")
    lines = lines_of(replace(VIEW, cells=(cell,)))
    assert lines[4].startswith("er\\x1b[31m  running")
    assert "a\\nb" in lines[4]
