"""How soon does a run train, the first time that it sees images and the second time?

    python -m performance.start

Runs one method twice on the same folder of small PNG files, each time in a process of its own, with a temporary cache
folder that is empty the first time. It prints the seconds until the command has loaded the stream and the backbone, of
which the images take their part; those from the start of the cell until its first training step is made; those from the
start of the command until then; and how many images were decoded.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from performance.evaluations import write_stream
from performance.observed import observe
from performance.timing import print_table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000, metavar="N", help="of both tasks; default %(default)s")
    parser.add_argument("--method", default="clr", metavar="SPEC", help="default %(default)s")
    chosen = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as temporary, patch.dict(os.environ, XDG_CACHE_HOME=temporary):
        stream = Path(temporary, "stream")
        each = chosen.images // 4
        write_stream(stream, tasks=2, train=each, test=each)
        for number in ("first", "second"):
            data = ["--stream", f"folder:{stream}", "--image-size", "32", "--out", temporary, "--name", number]
            training = ["--methods", chosen.method, "--epochs", "1", "--device", "cpu", "--jobs", "1"]
            observed = observe(["run", *data, *training])
            at = observed.seconds
            seconds = (at["loaded"] - at["loading"], at["step"] - at["cell"], at["step"])
            rows.append((number, str(observed.decoded), *(f"{value:.2f}" for value in seconds)))
    header = ("run", "images decoded", "loading, s", "cell to first step, s", "command to first step, s")
    print_table("target: in the second run nothing decoded, and a step within 2 s of the cell's start", header, rows)


if __name__ == "__main__":
    main()
