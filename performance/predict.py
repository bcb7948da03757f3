"""How fast does `predict` answer to a folder of images, beside the network alone?

    python -m performance.predict

Learns one task with one method on small PNG files, and then answers to a folder of such files: reading, decoding,
the network, and the rows of the table. Beside it the same network answers to as many images that are in RAM already.
Both are timed in turn, and the fastest of all repetitions counts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import torch

from benchmark import run
from benchmark.images.labelled import LabelledImages
from benchmark.learning.evaluation import evaluate
from benchmark.using.given import images_of
from benchmark.using.predictor import Predictor
from performance.evaluations import write_stream
from performance.timing import print_table

SIZE = 32


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, metavar="N", help="of the folder; default %(default)s")
    parser.add_argument("--method", default="clr", metavar="SPEC", help="default %(default)s")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="default %(default)s")
    chosen = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as temporary, patch.dict(os.environ, XDG_CACHE_HOME=temporary):
        stream = Path(temporary, "stream")
        write_stream(stream, tasks=1, train=20, test=chosen.images)
        given = {"image_size": SIZE, "test_images": 20, "epochs": 1, "device": "cpu", "jobs": 1}
        results = run(chosen.method, f"folder:{stream}", out=temporary, name="run", quiet=True, **given)
        for threads in dict.fromkeys((1, torch.get_num_threads())):
            torch.set_num_threads(threads)
            predictor = results.predictor(chosen.method)
            alone, whole = rates(predictor, stream, chosen.images, chosen.repetitions)
            rows.append((str(threads), f"{alone:.0f}", f"{whole:.0f}", f"{whole / alone:.2f}"))
    header = ("threads", "network alone, images/s", "predict, images/s", "share")
    print_table("images per second of `predict` beside those of the network alone", header, rows)


def rates(predictor: Predictor, stream: Path, count: int, repetitions: int) -> tuple[float, float]:
    """Images per second of the network alone, and of `predict`.

    Args:
        predictor: of a method that has learned one task.
        stream: the folder of the images.
        count: how many images are answered to.
        repetitions: of both.
    """
    learned = predictor.learned
    network = predictor._panel.answering.network(learned.state, 1, learned.widths[0])
    pixels = torch.randint(256, (count, 3, SIZE, SIZE), dtype=torch.uint8).to(memory_format=torch.channels_last)
    in_ram = LabelledImages(pixels, torch.zeros(count, dtype=torch.int64))
    files = images_of(sorted(stream.rglob("test/*/*.png"))[:count])

    def alone() -> None:
        evaluate(network, in_ram, learned.cell.device, learned.precision)

    def whole() -> None:
        assert sum(map(len, predictor.rows(files))) == count

    fastest = {timed: min(seconds(timed) for _ in range(repetitions)) for timed in (alone, whole)}
    return count / fastest[alone], count / fastest[whole]


def seconds(timed: Callable[[], None]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    timed()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
