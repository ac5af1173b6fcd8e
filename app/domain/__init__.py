"""What the product is about, without I/O: tasks, runs, messages, sessions, and who they belong to."""
