"""Curves and tables of a run in the trackers that people use already."""
