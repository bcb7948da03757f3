"""Baselines: one file each, readable alone."""
