"""What a process may use of the machine: its processors, its memory and its GPUs.

The process that gives out jobs never touches a GPU: there, it would take memory from the cells for the whole run.
"""
