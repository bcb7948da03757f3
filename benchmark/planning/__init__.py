"""What is known before a run: checks, costs, budgets."""
