"""Scripts that measure how fast the harness is, as ratios of times from the same run; see README.md."""

import warnings

# Warnings of what Avalanche imports.
warnings.filterwarnings("ignore", message="no QP solver found")
