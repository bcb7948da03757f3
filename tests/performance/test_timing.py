from __future__ import annotations

import torch

from performance.timing import fastest, race, thread_counts, threads


def test_contenders_run_in_turn() -> None:
    calls: list[tuple[str, int]] = []

    def contender(name: str, repetition: int) -> int:
        calls.append((name, repetition))
        return 10 * repetition

    runs = race({name: lambda number, name=name: contender(name, number) for name in "ab"}, 3)
    assert calls == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert runs == {"a": [0, 10, 20], "b": [0, 10, 20]}


def test_the_fastest_epoch_of_all_repetitions_counts() -> None:
    assert fastest([[3.0, 2.0], [5.0, 1.5]]) == 1.5


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert thread_counts() == [1, before + 1]
    assert torch.get_num_threads() == before
