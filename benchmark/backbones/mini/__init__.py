"""The embedded backbone, and how its weights are made."""
