"""Learns one task, from a state to the next: training, evaluation, and their cost."""

# Must come first: it imports Avalanche without the warnings of Avalanche's dependencies.
import methods.method  # noqa: F401
