"""`python -m benchmark`."""

import os
import sys
from contextlib import suppress

from benchmark.cli import main

if __name__ == "__main__":
    status = main()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    # Without taking torch apart, which takes seconds.
    os._exit(status)
