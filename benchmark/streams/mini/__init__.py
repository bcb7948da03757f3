"""The embedded stream, and what paints its images."""
