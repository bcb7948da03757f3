"""Avalanche's own plugins as methods of this benchmark."""
