"""Calls to providers outside the system: HTTP clients, key files and circuit breakers."""
