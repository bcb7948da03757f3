"""How much memory does training on a large store of images take, and does it wait for the disk?

    python -m performance.memory

Writes a store of noise at 64x64, of 4 GB unless told otherwise, into a temporary cache folder, and lets a process of
its own train on it for one epoch. Another process trains on a store of 40 MB: what the first needs at its peak beyond
this one is for the data, since all else is the same. The network is tiny, so that images have to come fast. How many it
learns from in a second is set against the small store's, which the system holds in memory: when the large one comes
from the disk, and when the system holds it too.

On Linux only. The peak is the kernel's VmHWM, where parts of files count that are mapped at the moment, but that the
system could take back at any time; the growth of RssAnon, looked at now and then, is what it could not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from benchmark.config import parse_methods
from benchmark.images.labelled import LabelledImages
from benchmark.images.store import About, build_store, store_folder
from benchmark.learning.learner import learn, start
from benchmark.learning.training import Training
from benchmark.streams.base import Task
from methods.configured import configure
from methods.network import Network
from performance.loops import cell_of
from performance.timing import print_table

_SIZE, _CLASSES, _BATCH = 64, 10, 32
_IMAGE = 3 * _SIZE**2
# Its size in gigabytes, and how often it is learned for the timing.
_SMALL, _TIMES = 0.04, 10


@dataclass(frozen=True)
class Measured:
    """The measurements of a process that learned a store.

    Attributes:
        rate: images per second.
        peak: most bytes of RAM at once, including mapped files.
        anonymous: most bytes of RAM without mapped files, as far as was seen.
    """

    rate: float
    peak: int
    anonymous: int


def make_store(gigabytes: float) -> LabelledImages:
    """A store of noise in the cache folder."""
    count = round(gigabytes * 1e9 / _IMAGE)
    block = 1024
    noise = np.random.default_rng(0).integers(0, 256, block * _IMAGE, dtype=np.uint8).tobytes()

    def write(path: Path) -> None:
        with path.open("wb") as file:
            for first in range(0, count, block):
                file.write(noise[: (count - first) * _IMAGE])

    store = build_store(f"{count:064x}", About("noise", "train", count, _SIZE), write)
    return LabelledImages.from_store(store, torch.arange(count) % _CLASSES)


def forget_files() -> None:
    """Make the system read the stores from the disk again."""
    for path in store_folder().glob("*/pixels"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(method: str, data: LabelledImages, times: int = 1) -> Measured:
    """Let another process learn `data` with a method, given as a specification, this many times from the start."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_learn, args=(theirs, method, data, times, torch.get_num_threads()))
    process.start()
    theirs.close()
    anonymous = 0
    while not ours.poll(0.02):
        anonymous = max(anonymous, resident("RssAnon", str(process.pid)))
    rate, peak = ours.recv()
    process.join()
    return Measured(rate, peak, anonymous)


def resident(field: str, process: str = "self") -> int:
    """A field of a process's memory status, in bytes; 0 if there is none, for example when the process ends."""
    lines = Path("/proc", process, "status").read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)


def _learn(pipe: Connection, method: str, data: LabelledImages, times: int, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 16, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    cell = cell_of(method, Network(layers, 16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)), _CLASSES)
    training = Training(configure(method).recipe, epochs=1, batch_size=_BATCH)

    def seconds(images: LabelledImages) -> float:
        task = Task("noise", tuple(map(str, range(_CLASSES))), images, images, images)
        return learn(cell, start(cell), task, training).seconds

    # What a task takes for any number of images; the first one also imports and prepares things.
    few = LabelledImages(data.images[: 2 * _BATCH].clone(), data.labels[: 2 * _BATCH])
    always = [seconds(few) for _ in range(3)][-1]
    took = sum(seconds(data) - always for _ in range(times))
    pipe.send((times * (len(data) - len(few)) / took, resident("VmHWM")))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4.0, help="of the large store; default %(default)g")
    parser.add_argument("--methods", default="linear-probe,sgd", metavar="LIST", help="default %(default)s")
    chosen = parser.parse_args(arguments)
    rates = ("images/s, small", "from disk", "over small", "from memory", "over small")
    rows = []
    with tempfile.TemporaryDirectory() as temporary, patch.dict(os.environ, XDG_CACHE_HOME=temporary):
        small, large = make_store(_SMALL), make_store(chosen.gigabytes)
        for method in parse_methods(chosen.methods):
            base = measure(method, small, _TIMES)
            forget_files()
            disk, memory = measure(method, large), measure(method, large)
            ratios = [text for m in (disk, memory) for text in (f"{m.rate:.0f}", f"{m.rate / base.rate:.2f}")]
            peak = max(disk.peak, memory.peak) - base.peak
            anonymous = max(disk.anonymous, memory.anonymous) - base.anonymous
            rows.append((method, f"{base.rate:.0f}", *ratios, f"{peak / 1e6:.0f}", f"{anonymous / 1e6:.0f}"))
    title = f"{chosen.gigabytes:g} GB, one epoch; target: a peak of less than 2000 MB beyond that on {_SMALL:g} GB"
    print_table(title, ("", *rates, "peak beyond, MB", "RssAnon beyond, MB"), rows)


if __name__ == "__main__":
    main()
