from __future__ import annotations

from collections.abc import Callable

from performance import predict


def test_both_are_timed_and_their_share_is_that_of_the_rates(tables: Callable) -> None:
    (rows,) = tables(predict, "--images", "40", "--method", "linear-probe", "--repetitions", "1")
    for _, alone, whole, share in rows:
        assert alone > 0
        assert whole > 0
        assert abs(share - whole / alone) < 0.01 + 1 / alone
