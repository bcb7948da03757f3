"""Runs many cells: lists the jobs, gives them to workers, and keeps the results."""
