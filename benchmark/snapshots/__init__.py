"""Snapshots of objects that change, as those of a training, and how they are put back."""
