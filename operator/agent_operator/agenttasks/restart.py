"""The restart of the operator: it ends, and Kubernetes starts it again.

It serves other namespaces afterwards. kopf takes the namespaces only at its start.
"""

from __future__ import annotations

import asyncio
import signal

from app.telemetry.logs import get_logger

_log = get_logger(__name__)


class RestartNeeded(Exception):
    """The operator must start again. `reason` is a word for the log."""

    def __init__(self, reason: str, namespace: str) -> None:
        super().__init__(f"{reason}: {namespace}")
        self.reason = reason
        self.namespace = namespace


async def restart(needed: RestartNeeded) -> None:
    """Asks this process to stop as Kubernetes does, and waits until the stop cancels the duty that calls this."""
    _log.warning("operator_restarts", reason=needed.reason, namespace=needed.namespace)
    signal.raise_signal(signal.SIGTERM)
    await asyncio.Event().wait()
