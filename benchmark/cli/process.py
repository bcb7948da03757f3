"""The command as a process: its exit status, and what happens if its output cannot be written."""

from __future__ import annotations

import errno
import sys

from benchmark.progress.output import forgive_output, refuse_second_interrupt


def run() -> int:
    """Run the command of this process.

    Returns:
        The exit status; see cli.main. It is also 2 if the output cannot be written.
    """
    refuse_second_interrupt()
    output = forgive_output()
    from benchmark.cli.main import main

    try:
        status = main()
    except SystemExit as end:
        # From argparse, which has printed the reason.
        status = end.code if isinstance(end.code, int) else 0
    sys.stdout.flush()
    # A reader that stops early, such as `head`, is not an error.
    if output.refused is None or output.refused.errno == errno.EPIPE:
        return status
    print(f"error: the output cannot be written ({output.refused.strerror}); give it room", file=sys.stderr)
    return status or 2
