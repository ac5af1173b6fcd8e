"""The joining of calls into batches: those that come while requests are under way go together into the next one.

A few requests may be under way at once, so that one without an answer does not hold up the calls that come after it. A
call that finds fewer of them is sent at once, so a batch costs no waiting of its own. The busier the process, the fewer
requests a call takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from app.storage.mongo import is_outage

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# The connections of a pool break one by one. With one request at a time, one broken connection holds up every call for
# as long as the driver waits for an answer.
AT_ONCE = 2


class Batches(Generic[Item, Answer]):
    """The calls of one event loop. `send` gets at most `most` items, and returns the answer or the error of each.

    An error that `send` raises is the answer to all of its items. If it means that the server is unavailable, it is
    the answer to all that wait as well: each would otherwise wait for its own timeout, one batch after the other. It is
    not, if the server has answered another request meanwhile: then only a connection broke.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        *,
        most: int,
        at_once: int = AT_ONCE,
    ) -> None:
        self._send = send
        self._most = most
        self._at_once = at_once
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._sending = 0
        self._answered = 0
        self._senders: set[asyncio.Task[None]] = set()  # the event loop itself keeps no task alive

    async def join(self, item: Item) -> Answer:
        """Sends the item with the next batch and returns its answer; raises its error.

        A caller that is cancelled takes back an item that waits. It leaves one that is sent, like any request under
        way.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._sending < self._at_once:
            self._sending += 1
            # An empty context: a batch belongs to many callers, so it must not have the deadline or the ids of one.
            sender = asyncio.create_task(self._send_waiting(), name="storage-batches", context=Context())
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        return await answer

    async def _send_waiting(self) -> None:
        """Sends batches until nothing waits. Calls that come together are in one batch: the first sender takes it."""
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        try:
            while batch := self._next_batch():
                await self._send_batch(batch)
        finally:
            for _, future in [*batch, *self._waiting]:  # some are left only if this task is cancelled: the loop ends
                future.cancel()
            self._waiting.clear()
            # Here, because callbacks of the task run later: a call in between would wait for a sender that has ended.
            self._sending -= 1

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        wanted = [(item, future) for item, future in self._waiting if not future.done()]
        batch, self._waiting = wanted[: self._most], wanted[self._most :]
        return batch

    async def _send_batch(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        futures = [future for _, future in batch]
        answered_before = self._answered
        try:
            answers = await self._send([item for item, _ in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"A batch of {len(batch)} got {len(answers)} answers.")
        except Exception as error:  # noqa: BLE001  # the edge of a background task: each caller gets the error
            if is_outage(error) and self._answered == answered_before:
                futures += [future for _, future in self._waiting]
                self._waiting.clear()
            _settle(futures, [error] * len(futures))
        else:
            self._answered += 1
            _settle(futures, answers)


def _settle(futures: Iterable[asyncio.Future[Answer]], answers: Sequence[Answer | Exception]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.done():  # its caller was cancelled
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
