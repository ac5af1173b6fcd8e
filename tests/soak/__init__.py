"""The soak: very many tasks while processes and servers are killed and Redis is full, and the reckoning."""
