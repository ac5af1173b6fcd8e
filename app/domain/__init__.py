"""The values of the product, without I/O: tasks, runs, messages, sessions, workers, and their owners."""
