"""What has changed since: for those who follow many tasks, an operator above all.

A change can be seen a little later than the time it stands under, and servers' clocks may step back. So a reader goes
through the changes in their order and, every two seconds, once more through those of the last ten: he may get a change
twice, which its revision tells, and misses none that is seen within ten seconds of its time, as long as he asks more
often than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.domain.change import TaskChange
from app.domain.cursor import decode_cursor, encode_cursor
from app.domain.identity import TaskId, Tenant
from app.ports import ChangePage, ChangePosition, ChangeRepository, Clock, IdempotencyReader
from app.services.shutdown import Closing

if TYPE_CHECKING:
    from typing import Self

LATEST = timedelta(seconds=10)
LOOK_BACK_EVERY = timedelta(seconds=2)
LOOK_SECONDS = 0.25
_NOT_LOOKING_BACK = datetime.fromtimestamp(0, tz=UTC)


@dataclass(frozen=True)
class Changes:
    """`cursor` is where to go on; `more` says that it is worth doing at once."""

    items: Sequence[TaskChange]
    cursor: str
    more: bool


@dataclass(frozen=True)
class Found:
    """`next_cursor` is None where there is no further page."""

    items: Sequence[TaskChange]
    next_cursor: str | None = None


@dataclass(frozen=True)
class _Reader:
    """How far somebody has read: up to `position`, and nothing can be missing of what changed before `complete_until`.

    `looking_back_since` is when the look back began that is under way (server time).
    """

    position: ChangePosition
    complete_until: datetime
    looking_back_since: datetime = _NOT_LOOKING_BACK

    @classmethod
    def beginning(cls, now: datetime) -> Self:
        return cls(ChangePosition(now - LATEST), now - LATEST, now)

    @classmethod
    def decode(cls, cursor: str) -> Self:
        """Raises InvalidRequest."""
        changed_at, task_id, complete_until, since = decode_cursor(cursor, datetime, str, datetime, datetime)
        return cls(ChangePosition(changed_at, task_id), complete_until, since)

    def encode(self) -> str:
        at = self.position.changed_at
        return encode_cursor([at, self.position.task_id, self.complete_until, self.looking_back_since])

    def at(self, now: datetime) -> Self:
        """Looks back where it is time to, and where the server's clock has stepped back."""
        behind = now - LATEST - self.complete_until
        if self.looking_back_since != _NOT_LOOKING_BACK or timedelta() <= behind < LOOK_BACK_EVERY:
            return self
        start = min(self.complete_until, now - LATEST)
        return replace(self, position=ChangePosition(start), complete_until=start, looking_back_since=now)

    def past(self, page: ChangePage) -> Self:
        if page.full or self.looking_back_since == _NOT_LOOKING_BACK:
            return replace(self, position=page.end)
        until = self.looking_back_since - LATEST
        return replace(self, position=page.end, complete_until=until, looking_back_since=_NOT_LOOKING_BACK)


class ChangeService:
    def __init__(
        self, changes: ChangeRepository, idempotency: IdempotencyReader, clock: Clock, closing: Closing
    ) -> None:
        self._changes = changes
        self._idempotency = idempotency
        self._clock = clock
        self._closing = closing

    async def read(self, cursor: str | None, *, limit: int, wait_seconds: float) -> Changes:
        """At most `limit` changes after the cursor, without one those from ten seconds ago; waits for a first one.

        Raises InvalidRequest for a foreign cursor, StoreUnavailable.
        """
        ends_at = self._clock.monotonic() + wait_seconds
        reader = None if cursor is None else _Reader.decode(cursor)
        while True:
            now = await self._changes.now()
            reader = _Reader.beginning(now) if reader is None else reader.at(now)
            page = await self._changes.after(reader.position, limit=limit)
            reader = reader.past(page)
            left_seconds = ends_at - self._clock.monotonic()
            if page.items or page.full or left_seconds <= 0 or self._closing.begun:
                return Changes(items=page.items, cursor=reader.encode(), more=page.full)
            await asyncio.sleep(min(LOOK_SECONDS, left_seconds))

    async def find(self, task_ids: Sequence[TaskId]) -> Found:
        """Those that there are, of any tenant, in no order."""
        return Found(await self._changes.find(task_ids))

    async def find_by_keys(self, tenant: Tenant, keys: Sequence[str]) -> Found:
        """The tasks that these idempotency keys made."""
        records = await asyncio.gather(*(self._idempotency.find(tenant, key) for key in keys))
        return await self.find([record.task_id for record in records if record is not None])

    async def unfinished(self, cluster: str, *, cursor: str | None, limit: int) -> Found:
        """The tasks of a cluster's objects that have not ended, by id. Raises InvalidRequest for a foreign cursor."""
        after = "" if cursor is None else decode_cursor(cursor, str)[0]
        found, last_id = await self._changes.unfinished(cluster=cluster, after=after, limit=limit)
        return Found(found, next_cursor=None if last_id is None else encode_cursor([last_id]))
