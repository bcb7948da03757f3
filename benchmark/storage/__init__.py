"""What a run keeps on disk between tasks: states, records, the run folder and its lock."""
