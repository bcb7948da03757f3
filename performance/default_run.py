"""How long does the README's first command take, and where does the time go?

    python -m performance.default_run

Runs it as it is, in a process of its own that finds no decoded images and writes to a temporary folder. Options that
follow are passed on to `python -m benchmark run`. Cells are learned side by side where torch takes several threads:
their seconds of training and evaluation then add up to more than those of the whole command.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import pandas as pd

from performance.observed import observe
from performance.timing import print_table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="clr,ewc,er", metavar="LIST", help="default %(default)s")
    chosen, options = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory() as temporary, patch.dict(os.environ, XDG_CACHE_HOME=temporary):
        at = observe(["run", "--methods", chosen.methods, "--out", temporary, "--name", "default", *options]).seconds
        compute = pd.read_csv(Path(temporary, "default", "compute.csv"))
    parts = {
        "interpreter and imports": at["loading"],
        "stream and backbone": at["loaded"] - at["loading"],
        "all cells, and the start of workers": at["report"] - at["loaded"],
        "tables and figures": at["reported"] - at["report"],
        "end": at["end"] - at["reported"],
        "in all": at["end"],
    }
    print_table(
        "the whole command; target: under 90 s", ("", "s"), [(part, f"{value:.2f}") for part, value in parts.items()]
    )
    seconds = compute[["training_seconds", "evaluation_seconds"]]
    rows = [
        (method, f"{training:.2f}", f"{evaluation:.2f}")
        for method, (training, evaluation) in zip(compute["method"], seconds.to_numpy(), strict=True)
    ]
    print_table("its cells", ("", "training, s", "evaluation, s"), rows)


if __name__ == "__main__":
    main()
