"""The removal of documents whose time is over, as the leader does it.

Every method removes a bounded number of documents and returns whether there may be more. Two leaders at once do no
harm.
"""

from __future__ import annotations

from typing import Protocol


class Retention(Protocol):
    """The documents that may be old enough to go."""

    async def remove_tasks(self) -> bool:
        """Removes tasks whose time to live is over, with their copies."""

    async def remove_events(self) -> bool:
        """Removes lifecycle events that have reached their age."""

    async def remove_sessions(self) -> bool:
        """Removes those of the next sessions that were not used for long and have no task.

        Returns False after the last of all sessions; the next call begins with the first one.
        """

    async def remove_keys(self) -> bool:
        """Removes those of the next idempotency keys that have reached their age and have no task.

        Returns False after the last of all keys; the next call begins with the first one.
        """
