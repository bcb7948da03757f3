"""One task, from a state to the next: training, evaluation, and what they cost."""
