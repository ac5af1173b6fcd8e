"""The text of a streamed answer on its way to the reader: fewer and longer pieces, and no thinking."""

from __future__ import annotations

import re
from collections.abc import Callable

from app.llm.providers.thoughts import ThoughtFilter, without_thoughts

# A callback per chunk, each of about one token, would cost more CPU than reading the chunk.
COALESCE_CHARACTERS = 240
COALESCE_SECONDS = 0.1
_FIRST_HALF = re.compile("[\ud800-\udbff]")  # of a surrogate pair


class TextCollector:
    """The text of an answer, passed to `on_text` in pieces: one every tenth of a second, or as soon as it is long.

    Passed text cannot be taken back: the next attempt after a failed one starts from its beginning, and only the text
    of the Completion counts. Marked thinking at the beginning is not passed on, except if only its end is marked: that
    shows too late.
    """

    def __init__(self, on_text: Callable[[str], None] | None, monotonic: Callable[[], float]) -> None:
        self._on_text = on_text
        self._monotonic = monotonic
        self._parts: list[str] = []
        self._waiting: list[str] = []
        self._waiting_characters = 0
        self._passed_at = monotonic()
        self._thoughts = ThoughtFilter()
        self._half = ""

    @property
    def begun(self) -> bool:
        """Checks whether any text has come."""
        return bool(self._parts)

    def add(self, text: str) -> None:
        """Adds text, and passes it on if enough has gathered."""
        self._parts.append(text)
        if self._on_text is None:
            return
        self._waiting.append(text)
        self._waiting_characters += len(text)
        now = self._monotonic()
        if self._waiting_characters >= COALESCE_CHARACTERS or now - self._passed_at >= COALESCE_SECONDS:
            self._passed_at = now
            self._pass_on(self._on_text)

    def finish(self) -> str:
        """Passes on the rest. Returns the whole text, without marked thinking."""
        if self._on_text is not None:
            self._pass_on(self._on_text, last=True)
        return without_thoughts("".join(self._parts))

    def _pass_on(self, on_text: Callable[[str], None], *, last: bool = False) -> None:
        text = self._half + self._thoughts.feed("".join(self._waiting), last=last)
        self._waiting, self._waiting_characters = [], 0
        # Its other half may come with the next piece.
        self._half = text[-1:] if not last and _FIRST_HALF.match(text[-1:]) else ""
        text = text.removesuffix(self._half)
        if text:
            on_text(storable(text))


def storable(text: str) -> str:
    """Removes NUL, and replaces single halves of surrogate pairs by `?`: JSON can hold both, but the database neither.

    Two halves that follow each other are one character, which a server has cut between two pieces of a stream.
    """
    joined = text.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return joined.encode(errors="replace").decode()
