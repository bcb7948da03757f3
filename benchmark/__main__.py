"""`python -m benchmark`, and the console script `continual-benchmark`."""

import os
import signal
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn


def script() -> NoReturn:
    """Run the command line and end the process."""
    try:
        if other := in_the_way():
            print(f"error: {other}", file=sys.stderr)
            status = 2
        else:
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


def in_the_way() -> str | None:
    """What is wrong if a module of the user's has the name of a package of this program, and would be taken for it.

    `python -m` looks for modules in the current folder first.
    """
    home = Path(__file__).resolve().parents[1]
    for name in ("methods", "baselines"):
        spec = find_spec(name)
        if spec is not None and spec.origin is not None and Path(spec.origin).resolve().parents[1] != home:
            return (
                f"{spec.origin} has the name of a package of this program, '{name}', and would be taken for it; rename "
                "it, or use the command continual-benchmark, or work in another folder"
            )
    return None


if __name__ == "__main__":
    script()
