"""Rules that guess the task of an image whose task is not known."""
