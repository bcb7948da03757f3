"""What does it cost to check a store of decoded images before it is used?

    python -m performance.store_check

Writes a store of noise into a temporary cache folder, and opens it as a run does: once when its bytes have to come from
the disk, and in several turns when the system holds them in memory. Reading the file and no more is timed beside it. A
store that this process has checked before is opened without looking at its bytes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from unittest.mock import patch

from benchmark.images import store
from benchmark.images.store import find_store, store_folder, store_keys
from performance.memory import forget_files, make_store
from performance.timing import print_table, race

# Bytes read at once.
_PIECE = 1 << 20


def seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def read_all(path: Path) -> None:
    """Read a file and do nothing with it."""
    with path.open("rb", buffering=0) as file:
        while file.read(_PIECE):
            pass


def check(key: str) -> None:
    """Open a store like a process that has not seen it yet."""
    with patch.object(store, "_checked", set()):
        assert find_store(key)


def measure(key: str, repetitions: int) -> list[float]:
    """The seconds of each column of the table, for one store."""
    pixels = store_folder() / key / "pixels"
    acts = {"read": partial(read_all, pixels), "check": partial(check, key)}

    def time_it(name: str, forget: bool) -> Callable[[int], float]:
        def once(repetition: int) -> float:
            if forget:
                forget_files()
            return seconds(acts[name])

        return once

    fastest = []
    for forget in (True, False):
        runs = race({name: time_it(name, forget) for name in acts}, repetitions)
        fastest += [min(runs[name]) for name in acts]
    return [*fastest, seconds(partial(find_store, key))]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1.0, 4.0], help="default 1 4")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="default %(default)s")
    chosen = parser.parse_args(arguments)
    rows = []
    for gigabytes in chosen.gigabytes:
        with tempfile.TemporaryDirectory() as temporary, patch.dict(os.environ, XDG_CACHE_HOME=temporary):
            make_store(gigabytes)
            (key,) = store_keys()
            times = measure(key, chosen.repetitions)
        rows.append((f"{gigabytes:g}", *(f"{value:.4f}" for value in times)))
    header = ("GB", "read from disk, s", "check from disk, s", "read, s", "check, s", "opened again, s")
    print_table("opening a store; the fastest of all repetitions", header, rows)


if __name__ == "__main__":
    main()
