"""The promises of a port, tested on every implementation."""
