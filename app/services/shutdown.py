"""The mark that this process was asked to stop.

Requests that wait for a task or a change answer as soon as they see it, before the server cuts their connections.
"""

from __future__ import annotations


class Shutdown:
    """A flag that is set once. `begin` may be called by a signal handler."""

    def __init__(self) -> None:
        self.begun = False

    def begin(self) -> None:
        self.begun = True
