"""ASGI responses that send bytes in chunks, and the ways in which they can go wrong.

Events are coalesced into few writes, except with a delay between chunks: the simulator shares its CPU with the product
under test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

_EVENTS_PER_WRITE = 8


@dataclass
class ChunkedResponse:
    """A response in chunks. `transport`: None, `hang` (before the first byte), `stall` or `reset` (after half of them).

    `on_end` is called once, with True if everything was sent.
    """

    chunks: Sequence[bytes]
    content_type: bytes
    on_end: Callable[[bool], None]
    delay_seconds: float = 0.0
    transport: str | None = None
    request_id: str = "sim"

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
        headers = [(b"content-type", self.content_type), (b"x-request-id", self.request_id.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        half = len(self.chunks) // 2 + 1
        for write in self._writes(self.chunks if self.transport is None else self.chunks[:half]):
            await send({"type": "http.response.body", "body": write, "more_body": True})
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
        if self.transport == "stall":
            await _until_gone(receive)
        if self.transport is not None:
            return False  # a response that is not completed makes the server close the connection
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    def _writes(self, chunks: Sequence[bytes]) -> Sequence[bytes]:
        if self.delay_seconds:
            return chunks
        return [b"".join(chunks[at : at + _EVENTS_PER_WRITE]) for at in range(0, len(chunks), _EVENTS_PER_WRITE)]


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
