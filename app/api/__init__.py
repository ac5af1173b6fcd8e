"""The HTTP layer over the services: requests, callers and their roles, answers and errors."""
