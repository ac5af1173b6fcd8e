"""Use cases of the product: tasks, sessions, workers and the system, over the ports alone."""
