"""The joining of calls into batches: those that come while a request is under way go together into the next one.

A call that comes alone is sent at once, so a batch costs no waiting of its own. The busier the process, the fewer
requests a call takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batches(Generic[Item, Answer]):
    """The calls of one event loop. `send` gets at most `most` items, and returns the answer or the error of each.

    An error that `send` raises is the answer to all of its items.
    """

    def __init__(self, send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]], *, most: int) -> None:
        self._send = send
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def join(self, item: Item) -> Answer:
        """Sends the item with the next batch and returns its answer; raises its error.

        A caller that is cancelled leaves its item in the batch, as it would leave a request under way.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._sending is None:
            # An empty context: a batch belongs to many callers, so it must not have the deadline or the ids of one.
            self._sending = asyncio.create_task(self._send_waiting(), name="storage-batches", context=Context())
        return await answer

    async def _send_waiting(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                _settle([future for _, future in batch], await self._answers([item for item, _ in batch]))
        finally:
            self._sending = None
            for _, future in [*batch, *self._waiting]:  # some are left only if this task is cancelled: the loop ends
                future.cancel()

    async def _answers(self, items: Sequence[Item]) -> Sequence[Answer | Exception]:
        try:
            return await self._send(items)
        except Exception as error:  # noqa: BLE001  # the edge of a background task: each caller gets the error
            return [error] * len(items)


def _settle(futures: Sequence[asyncio.Future[Answer]], answers: Sequence[Answer | Exception]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.done():  # its caller was cancelled
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
