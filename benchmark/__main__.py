"""`python -m benchmark`."""

import os
import sys
from contextlib import suppress

if __name__ == "__main__":
    try:
        # Here: Ctrl-C may come as early as this.
        from benchmark.cli import main

        status = main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    # Without taking torch apart, which takes seconds.
    os._exit(status)
