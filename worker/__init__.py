"""The worker process: takes tickets from the queue and runs their tasks."""
