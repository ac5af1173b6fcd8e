"""The room of the autoscaler: it decides how many workers there should be, and removes workers without interrupting a
task.
"""
