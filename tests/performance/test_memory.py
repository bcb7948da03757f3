from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from performance import memory


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say what is resident")
def test_a_large_store_is_set_against_a_small_one(tables: Callable) -> None:
    (((method, small, disk, over, cached, over_too, peak, anonymous),),) = tables(
        memory, "--gigabytes", "0.1", "--methods", "sgd"
    )
    assert method == "sgd"
    assert over == pytest.approx(disk / small, abs=0.01)
    assert over_too == pytest.approx(cached / small, abs=0.01)
    # Of 100 MB: two chunks of 16 MiB, and what the system maps around images.
    assert max(peak, anonymous) < 400
