"""Work before a run: checks, cost estimates, budgets."""
