"""Liveness: the pulse of each duty, and the probe that reports it."""
