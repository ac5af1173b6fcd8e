"""ASGI responses that send bytes in chunks, and the ways in which they can go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

Header = tuple[bytes, bytes]


@dataclass
class ChunkedResponse:
    """A response in chunks. `transport`: None, `hang` (before the first byte), `stall` or `reset` (after half of them).

    `delay_seconds` lie between two writes. `on_end` is called once, with True if everything was sent.
    """

    chunks: Sequence[bytes]
    headers: Sequence[Header]
    on_end: Callable[[bool], None]
    status: int = 200
    delay_seconds: float = 0.0
    chunks_per_write: int = 1
    transport: str | None = None

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        complete = False
        try:
            complete = await self._answer(receive, send)
        finally:  # also if the client hangs up, which cancels this call
            self.on_end(complete)

    async def _answer(self, receive: Receive, send: Send) -> bool:
        if self.transport == "hang":
            await _until_gone(receive)
            return False
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        half = len(self.chunks) // 2 + 1
        for at, write in enumerate(self._writes(self.chunks if self.transport is None else self.chunks[:half])):
            if at and self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            await send({"type": "http.response.body", "body": write, "more_body": True})
        if self.transport == "stall":
            await _until_gone(receive)
        if self.transport is not None:
            return False  # a response that is not completed makes the server close the connection
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    def _writes(self, chunks: Sequence[bytes]) -> Sequence[bytes]:
        size = self.chunks_per_write
        return [b"".join(chunks[at : at + size]) for at in range(0, len(chunks), size)]


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def split_text(text: str, count: int) -> list[str]:
    """Splits the text into at most `count` pieces of even length; an empty text has none."""
    size = max(12, -(-len(text) // count))
    return [text[at : at + size] for at in range(0, len(text), size)]


def halves(body: bytes) -> list[bytes]:
    """Splits a body into two chunks, so that `stall` and `reset` have a middle."""
    middle = len(body) // 2
    return [body[:middle], body[middle:]]
