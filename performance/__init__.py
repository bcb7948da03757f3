"""Scripts that measure how fast the harness is, as ratios of what is timed in the same run; see README.md."""

import warnings

# Of what Avalanche imports.
warnings.filterwarnings("ignore", message="no QP solver found")
