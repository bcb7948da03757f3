"""Images decoded by one thread or process for each core."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.images.decode import PLAIN, Pixels, Reading, decode_and_measure, decode_readable
from benchmark.images.formats.sizes import Sizes, joined
from benchmark.images.source import ImageSource
from benchmark.machine.limits import usable_cores
from benchmark.workers import begin_worker, context
from methods.errors import UserError

# Images given to a thread or process at a time: few enough that all end together, enough that this costs little.
_CHUNK = 32
# Fewer images than these are decoded faster than processes start.
_FEW = 256
# So many batches are decoded ahead of the one in use.
_AHEAD = 2


class Decoder:
    """Decodes split after split. Worker processes start when they are first useful, and run until the block ends."""

    def __init__(self) -> None:
        self._workers = usable_cores()
        self._processes: ProcessPoolExecutor | None = None

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._processes:
            self._processes.shutdown(cancel_futures=True)

    def to_array(
        self,
        source: ImageSource,
        indices: Sequence[int],
        size: int,
        channels: int = 3,
        reading: Reading = PLAIN,
        met: Callable[[Sizes | None], None] = lambda sizes: None,
    ) -> Pixels:
        """Like images.decode, in several threads.

        Args:
            source, indices, size, channels, reading: see images.decode.
            met: called with the sizes that the images had.
        """
        pixels = np.empty((len(indices), size, size, channels), dtype=np.uint8)

        def fill(start: int) -> Sizes | None:
            part = slice(start, start + _CHUNK)
            pixels[part], sizes = decode_and_measure(source, indices[part], size, channels, reading)
            return sizes

        with ThreadPoolExecutor(self._workers) as threads:
            # The first error in the order of the images stops the rest.
            met(joined(threads.map(fill, range(0, len(indices), _CHUNK))))
        return pixels

    def ahead(
        self, source: ImageSource, size: int, channels: int, reading: Reading, count: int
    ) -> Iterator[tuple[Pixels, dict[int, str]]]:
        """All images in their order, `count` at a time. Threads decode the next ones while these are used.

        Yields:
            What images.decode_readable gives for these `count` images, or for fewer at the end.
        """
        total = len(source.labels)
        firsts = iter(range(0, total, count))
        with ThreadPoolExecutor(self._workers) as threads:

            def begin(first: int) -> list[Future[tuple[Pixels, dict[int, str]]]]:
                last = min(first + count, total)
                parts = (range(start, min(start + _CHUNK, last)) for start in range(first, last, _CHUNK))
                return [threads.submit(decode_readable, source, part, size, channels, reading) for part in parts]

            waiting = deque(begin(first) for first in islice(firsts, _AHEAD))
            try:
                while waiting:
                    done = [part.result() for part in waiting.popleft()]
                    waiting.extend(begin(first) for first in islice(firsts, 1))
                    causes = {k * _CHUNK + i: why for k, (_, found) in enumerate(done) for i, why in found.items()}
                    yield np.concatenate([pixels for pixels, _ in done]), causes
            finally:
                threads.shutdown(cancel_futures=True)

    def to_file(
        self,
        source: ImageSource,
        indices: Sequence[int],
        size: int,
        path: Path,
        channels: int = 3,
        reading: Reading = PLAIN,
        met: Callable[[Sizes | None], None] = lambda sizes: None,
    ) -> None:
        """Write the bytes of images.decode to a new file, in several processes if the source allows it.

        Args:
            source, indices, size, channels, reading, met: see `to_array`.
            path: the file.

        Raises:
            UserError: see images.decode; or a process ended early.
            OSError: the file cannot be written.
        """
        path.touch()
        starts = range(0, len(indices), _CHUNK)
        chunks = [indices[start : start + _CHUNK] for start in starts]
        parts = [source.part(chunk) for chunk in chunks] if self._may_start(len(indices)) else [None]
        jobs = (repeat(size), repeat(path), starts, repeat(channels), repeat(reading))
        if None not in parts:
            met(self._in_processes(parts, map(range, map(len, chunks)), *jobs))
        else:
            with ThreadPoolExecutor(self._workers) as threads:
                met(joined(threads.map(_write, repeat(source), chunks, *jobs)))

    def _may_start(self, images: int) -> bool:
        # A run's workers are daemons, which cannot start processes.
        return self._processes is not None or (images >= _FEW and not multiprocessing.current_process().daemon)

    def _in_processes(self, *arguments: Iterable[Any]) -> Sizes | None:
        if self._processes is None:
            self._processes = ProcessPoolExecutor(self._workers, mp_context=context(), initializer=begin_worker)
        try:
            return joined(self._processes.map(_write, *arguments))
        except BrokenProcessPool as error:
            raise UserError(
                "a process that decodes images ended early, as when the system runs out of memory; free some and give "
                "the same command again"
            ) from error


def _write(
    source: ImageSource,
    indices: Sequence[int],
    size: int,
    path: Path,
    first: int,
    channels: int,
    reading: Reading,
) -> Sizes | None:
    """Decode images to their places in the file at `path`, from the `first` on, and return their sizes."""
    pixels, sizes = decode_and_measure(source, indices, size, channels, reading)
    with path.open("r+b") as file:
        file.seek(first * channels * size**2)
        file.write(pixels.data)
    return sizes
