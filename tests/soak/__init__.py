"""The soak: very many tasks while processes and servers are killed, and the reckoning."""
