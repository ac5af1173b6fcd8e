"""What Docker Compose makes of the project's files."""
