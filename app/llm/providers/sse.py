"""Server-sent events of model providers: each event is one `data:` line of JSON; everything else is skipped.

The reader works on bytes and only splits and decodes, because long answers have thousands of chunks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

# A callback per chunk, each of about one token, would cost more CPU than reading the chunk.
COALESCE_CHARACTERS = 240
COALESCE_SECONDS = 0.1


class EventReader:
    """The parser of a body that arrives in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """Parses the events that end in this piece. Raises ValueError for one that is not a JSON object."""
        # An event may be cut anywhere, also inside a character: the rest stays in bytes until its line is complete.
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if not data or data == b"[DONE]":  # the end mark of OpenAI's protocol
                continue
            event = json.loads(data)
            if not isinstance(event, dict):
                raise ValueError("an event is not a JSON object")
            yield event


class TextCollector:
    """The text of an answer, passed to `on_text` in pieces: one every tenth of a second, or as soon as it is long.

    Passed text cannot be taken back: the next attempt after a failed one starts from its beginning, and only the text
    of the Completion counts.
    """

    def __init__(self, on_text: Callable[[str], None] | None, monotonic: Callable[[], float]) -> None:
        self._on_text = on_text
        self._monotonic = monotonic
        self._parts: list[str] = []
        self._passed = 0
        self._waiting = 0
        self._passed_at = monotonic()

    def add(self, text: str) -> None:
        """Adds text, and passes it on if enough has gathered."""
        self._parts.append(text)
        if self._on_text is None:
            return
        self._waiting += len(text)
        if self._waiting >= COALESCE_CHARACTERS or self._monotonic() - self._passed_at >= COALESCE_SECONDS:
            self._pass_on(self._on_text)

    def finish(self) -> str:
        """Passes on the rest. Returns the whole text."""
        if self._on_text is not None and self._waiting:
            self._pass_on(self._on_text)
        return "".join(self._parts)

    def _pass_on(self, on_text: Callable[[str], None]) -> None:
        on_text("".join(self._parts[self._passed :]))
        self._passed = len(self._parts)
        self._waiting = 0
        self._passed_at = self._monotonic()
