"""Server-sent events as model vendors send them: each event is one `data:` line of JSON; everything else is skipped.

Works on bytes and does nothing per chunk but split and decode, because long answers have thousands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

COALESCE_CHARACTERS = 240
COALESCE_SECONDS = 0.1


class EventReader:
    """Turns pieces of a body into events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """The events that end in this piece. Raises ValueError for one that is no JSON object."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if not data or data == b"[DONE]":
                continue
            event = json.loads(data)
            if not isinstance(event, dict):
                raise ValueError("an event is no JSON object")
            yield event


class TextCollector:
    """Gathers an answer's text and tells it in pieces of a tenth of a second or a few words more.

    What was told cannot be taken back: after a failed try the next one starts from its beginning, and only the text of
    the Completion counts.
    """

    def __init__(self, on_text: Callable[[str], None] | None, monotonic: Callable[[], float]) -> None:
        self._on_text = on_text
        self._monotonic = monotonic
        self._parts: list[str] = []
        self._untold = 0
        self._waiting = 0
        self._told_at = monotonic()

    def add(self, text: str) -> None:
        self._parts.append(text)
        if self._on_text is None:
            return
        self._waiting += len(text)
        if self._waiting >= COALESCE_CHARACTERS or self._monotonic() - self._told_at >= COALESCE_SECONDS:
            self._tell(self._on_text)

    def finish(self) -> str:
        if self._on_text is not None and self._waiting:
            self._tell(self._on_text)
        return "".join(self._parts)

    def _tell(self, on_text: Callable[[str], None]) -> None:
        on_text("".join(self._parts[self._untold :]))
        self._untold = len(self._parts)
        self._waiting = 0
        self._told_at = self._monotonic()
