"""Checks of the contracts for methods, streams and backbones. Anybody can run them on their own code."""
