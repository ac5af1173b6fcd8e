"""Whether the process was told to stop: who waits for a client's sake answers then, before its connection is cut."""

from __future__ import annotations


class Closing:
    """`begin` may be called by a signal handler."""

    def __init__(self) -> None:
        self.begun = False

    def begin(self) -> None:
        self.begun = True
