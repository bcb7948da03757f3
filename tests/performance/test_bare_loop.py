from __future__ import annotations

from collections.abc import Callable

import pytest

from performance import bare_loop


def test_ratios_are_those_of_the_printed_times(tables: Callable) -> None:
    small, two_layers = tables(bare_loop, "--repetitions", "1", "--epochs", "2", "--images", "60")
    for (method, bare, harness, ratio, *losses), expected in zip(small, ("sgd:clip=0", "sgd"), strict=True):
        assert method == expected
        assert ratio == pytest.approx(harness / bare, abs=0.01)
        assert all(loss > 0 for loss in losses)
    naive, silent, harness, bare = two_layers
    for name, milliseconds, images, over_naive, over_silent, over_bare, accuracy, _ in two_layers:
        assert name in ("Naive", "Naive, silent", "harness", "bare loop")
        assert images == pytest.approx(10 * 1000 / milliseconds, rel=0.01)
        ratios = [other[1] / milliseconds for other in (naive, silent, bare)]
        assert [over_naive, over_silent, over_bare] == pytest.approx(ratios, rel=0.01, abs=0.01)
        assert 0 < accuracy <= 1
