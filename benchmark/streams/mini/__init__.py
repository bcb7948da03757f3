"""The embedded stream, and the painters of its images."""
