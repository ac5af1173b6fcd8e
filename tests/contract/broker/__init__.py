"""What a port promises, held to every implementation."""
