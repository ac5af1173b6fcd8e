"""Logs, metrics and traces: their names, and how they leave the process."""
