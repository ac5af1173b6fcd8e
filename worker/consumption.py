"""The switch of ticket fetching: the consumer is paused as long as there is a reason to pause."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Protocol


class TicketConsumer(Protocol):
    """The part that fetches tickets from the queue. Safe to call from any thread."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class PauseReason(StrEnum):
    """The reason why no tickets are fetched."""

    DRAINED = "drained"
    STORE_UNAVAILABLE = "store_unavailable"


class Consumption:
    """The consumer and the reasons to pause it: the first one pauses it, the last one that goes resumes it.

    Belongs to the event loop of the runs. `attached` is set when a consumer fetches tickets for the first time.
    """

    def __init__(self) -> None:
        self.attached = asyncio.Event()
        self._consumer: TicketConsumer | None = None
        self._reasons: set[PauseReason] = set()

    def attach(self, consumer: TicketConsumer) -> None:
        """Takes charge of the consumer; pauses it at once if there is a reason already."""
        self._consumer = consumer
        # Celery connects while the event loop runs: a drain lease may have been read before there was a consumer.
        if self._reasons:
            consumer.pause()
        self.attached.set()

    @property
    def paused(self) -> bool:
        return bool(self._reasons)

    def block(self, reason: PauseReason) -> None:
        if not self._reasons and self._consumer is not None:
            self._consumer.pause()
        self._reasons.add(reason)

    def unblock(self, reason: PauseReason) -> None:
        """Withdraws the reason; changes nothing if it was never given."""
        if self._reasons == {reason} and self._consumer is not None:
            self._consumer.resume()
        self._reasons.discard(reason)
