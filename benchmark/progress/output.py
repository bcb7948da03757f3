"""An output that may be closed, full or unable to show a character; and Ctrl-C that may be pressed twice."""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
import time
from types import FrameType
from typing import Any

# Characters in the tables and sentences of this program, and what replaces them if the output has ASCII only.
_PLAIN = {
    "±": "+-",
    "…": "...",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{EN DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{EN SPACE}": " ",
}

# For this many seconds after Ctrl-C, a second Ctrl-C does not interrupt the cleaning up.
_PATIENCE = 10


class Output(io.TextIOWrapper):
    """Standard output or standard error that cannot fail: text that cannot be written is dropped.

    Attributes:
        refused: why text could not be written.
    """

    refused: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.refused = error
        # The null device also takes the text that the buffer still holds.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


def forgive_output() -> Output:
    """Let no failed printing end the program: finished work is kept, even if nobody can read the output.

    Returns:
        Standard output.
    """
    codecs.register_error("plain", _plain)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # It is closed. Without this, the next file that is opened would get its number, and the printed text.
            os.open(os.devnull, os.O_RDWR)
    sys.stderr = _output(2, sys.stderr)
    sys.stdout = output = _output(1, sys.stdout)
    return output


def refuse_second_interrupt() -> None:
    """Let Ctrl-C interrupt once, and again only after the interrupted work had time to end."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    last = -float("inf")

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if time.monotonic() - last > _PATIENCE:
            last = time.monotonic()
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)


def _output(number: int, usual: Any) -> Output:
    """Prints to the file of that number as `usual` does; `usual` is None if the file was closed."""
    file = open(number, "wb", closefd=False)  # noqa: SIM115
    encoding = getattr(usual, "encoding", None) or "utf-8"
    return Output(file, encoding, "plain", line_buffering=number == 2 or file.isatty())


def _plain(error: UnicodeError) -> tuple[str, int]:
    """The error handler "plain": other characters, or an escape, for those that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text), error.end
