"""The broker on Redis and Celery: tickets, presence, drain leases, rate limits."""
