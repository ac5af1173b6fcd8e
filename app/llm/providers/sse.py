"""Server-sent events of model providers: each event is a JSON object; names of events and comments are skipped.

The reader works on bytes and only splits and decodes, because long answers have thousands of chunks. It follows the
standard (lines may end with CR, LF or both, the data of an event may take several lines, the last event may lack its
empty line), and it also accepts events that no empty line separates.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from app.llm.providers.lenient import to_object

# The longest answers take some hundred kilobytes; without a limit a broken server could fill the memory.
MAX_EVENT_BYTES = 8_000_000
_END_MARK = b"[DONE]"  # of OpenAI's protocol
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')


class EventReader:
    """The parser of a body that arrives in pieces. `ended` is set once the server's end mark has come."""

    def __init__(self) -> None:
        self._rest = b""
        self._held: list[bytes] = []  # pieces of the same line, after the rest
        self._data: list[bytes] = []  # the lines of an event that is not complete
        self._size = 0  # of both
        self._depth = 0
        self._name = b""
        self._begun = False
        self.ended = False

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """Parses the events that end in this piece. Raises ValueError for one that is not a JSON object."""
        # An event may be cut anywhere, also inside a character: the rest stays in bytes until its line is complete.
        if self._begun and b"\n" not in piece and b"\r" not in piece and not self._rest.endswith(b"\r"):
            self._hold(piece)
            return
        body = self._take_held() + piece
        if not self._begun:
            if codecs.BOM_UTF8.startswith(body):
                self._rest = body
                return
            self._begun = True
            body = body.removeprefix(codecs.BOM_UTF8)
        half = b""
        if b"\r" in body:
            # A CR at the very end may be half of a CRLF, so it waits for the next piece.
            half = b"\r" if body.endswith(b"\r") else b""
            body = body.removesuffix(half).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = body.split(b"\n")
        self._rest = rest + half
        self._require_short()
        for line in lines:
            event = self._read_line(line)
            if event is not None:
                yield event

    def finish(self) -> Iterator[dict[str, Any]]:
        """Parses what is left when the body ends: the last line need not be complete."""
        for line in (*self._take_held().split(b"\r"), b""):
            event = self._read_line(line)
            if event is not None:
                yield event

    def _hold(self, piece: bytes) -> None:
        """Keeps a piece without an end of a line; joining the line anew with each piece would take quadratic time."""
        self._held.append(piece)
        self._size += len(piece)
        self._require_short()

    def _take_held(self) -> bytes:
        self._size -= sum(map(len, self._held))
        begun = b"".join([self._rest, *self._held])
        self._held.clear()
        return begun

    def _require_short(self) -> None:
        if len(self._rest) + self._size > MAX_EVENT_BYTES:
            raise ValueError("an event is too long")

    def _read_line(self, line: bytes) -> dict[str, Any] | None:
        if line.startswith(b"data:"):
            return self._read_data(line[5:].strip())
        if not line:
            if self._data:
                raise ValueError("an event is not JSON")
            self._name = b""
        elif line.startswith(b"event:"):
            self._name = line[6:].strip()
        elif line.startswith((b"error:", b"{")):
            return _read_bare(line)
        return None

    def _read_data(self, data: bytes) -> dict[str, Any] | None:
        if data == _END_MARK:
            self.ended = True
            return None
        event: dict[str, Any] | None
        if self._data:
            event = self._collect(data)
        else:
            try:
                event = to_object(json.loads(data))
            except json.JSONDecodeError:
                event = self._collect(data)
        if event is None:
            return None
        return {"type": "error", "error": event} if self._name == b"error" and "error" not in event else event

    def _collect(self, data: bytes) -> dict[str, Any] | None:
        """Adds a line of an event that takes several. Returns the event with its last line.

        It is parsed once all brackets are closed: parsing from its start with each line would take quadratic time.
        """
        self._data.append(data)
        self._size += len(data)
        self._depth += _open_brackets(data)
        if self._depth > 0:
            return None
        whole = b"\n".join(self._data)
        self._size -= sum(map(len, self._data))
        self._data, self._depth = [], 0
        return to_object(json.loads(whole)) if whole.strip() else None


def _open_brackets(line: bytes) -> int:
    """Counts the brackets that a line of JSON opens and does not close; a string cannot go on in the next line."""
    plain = _STRING.sub(b"", line)
    return plain.count(b"{") + plain.count(b"[") - plain.count(b"}") - plain.count(b"]")


def _read_bare(line: bytes) -> dict[str, Any] | None:
    """Parses a line that is no field of the standard: an error under its own name (llama.cpp), or an object without."""
    named = line.startswith(b"error:")
    try:
        event = json.loads(line.removeprefix(b"error:"))
    except ValueError:
        return None
    if not isinstance(event, dict):
        return None
    return {"error": event} if named and "error" not in event else event
