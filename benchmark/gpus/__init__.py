"""The GPUs of a machine, and the share of one that a process may use.

The process that gives out jobs never touches a GPU: there, it would take memory from the cells for the whole run.
"""
