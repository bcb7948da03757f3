"""The task boundary on disk: states, records, the run folder and its lock."""
