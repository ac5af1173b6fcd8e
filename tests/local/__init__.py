"""What people run on one machine, without a cluster of their own: Docker Compose, skaffold and kind."""
