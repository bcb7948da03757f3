"""Using what a run has learned: its networks answer for new images, or leave for other programs."""
