"""The package all processes share, and the API process."""

from importlib.metadata import version

__version__ = version("agent-orchestrator")
