"""One task, from a state to the next: training, evaluation, and what they cost."""

# Before anything else here imports Avalanche: it does so without the warnings of Avalanche's dependencies.
import methods.method  # noqa: F401
