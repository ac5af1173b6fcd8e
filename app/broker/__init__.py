"""Redis and Celery behind the ports: tickets, presence, limits."""
