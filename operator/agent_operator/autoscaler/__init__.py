"""How many workers there should be, and how to have fewer without interrupting a task."""
