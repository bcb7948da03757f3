"""`python -m benchmark`, and the console script `continual-benchmark`."""

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn


def script() -> NoReturn:
    """Run the command line and end the process."""
    try:
        # Here: Ctrl-C may come as early as this.
        from benchmark.cli.process import run

        status = run()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with suppress(OSError):
            print("interrupted", file=sys.stderr)
        status = 130
    # This skips taking torch apart, which takes seconds.
    os._exit(status)


if __name__ == "__main__":
    script()
