"""MongoDB behind the ports: a file per collection. Motor stays inside this package."""
