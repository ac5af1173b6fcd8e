"""The changes feed against a log of writes: also changes that become visible late, or under a stepped-back clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.change import TaskChange
from app.domain.cursor import encode_cursor
from app.domain.identity import TaskId, Tenant
from app.domain.task import TaskStatus
from app.errors import InvalidRequest
from app.ports import ChangePage, ChangePosition, IdempotencyRecord
from app.services.changes import ChangeService
from app.services.shutdown import Shutdown
from tests.support.doubles import ManualClock

EPOCH = datetime.fromtimestamp(0, tz=UTC)
BEGINNING = datetime(1, 1, 1, 0, 0, 5, tzinfo=UTC)
END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass
class Log:
    """A store whose writes become visible a little after their time stamp. `skew` is how far its clock is behind."""

    clock: ManualClock = field(default_factory=ManualClock)
    skew: timedelta = timedelta()
    seen: dict[str, TaskChange] = field(default_factory=dict)
    under_way: list[tuple[float, TaskChange]] = field(default_factory=list)
    revs: dict[str, int] = field(default_factory=dict)
    busy: dict[str, float] = field(default_factory=dict)

    def time(self) -> datetime:
        return (self.clock.now() - self.skew).replace(microsecond=0)

    def write(self, task_id: str, delay_seconds: float) -> None:
        """Writes a document, unless a write of it is under way: a database does one after the other."""
        if self.busy.get(task_id, 0) > self.clock.seconds:
            return
        rev = self.revs[task_id] = self.revs.get(task_id, 0) + 1
        written = TaskChange(
            id=TaskId(task_id),
            tenant=Tenant("t"),
            rev=rev,
            changed_at=self.time(),
            status=TaskStatus.QUEUED,
            queued_at=self.time(),
        )
        self.busy[task_id] = self.clock.seconds + delay_seconds
        self.under_way.append((self.clock.seconds + delay_seconds, written))

    def _make_visible(self) -> None:
        for visible_at, written in self.under_way:
            if visible_at <= self.clock.seconds:
                self.seen[written.id] = written
        self.under_way = [(at, written) for at, written in self.under_way if at > self.clock.seconds]

    async def now(self) -> datetime:
        return self.time()

    async def after(self, position: ChangePosition, *, limit: int) -> ChangePage:
        self._make_visible()
        place = (position.changed_at, position.task_id)
        found = sorted((change.changed_at, change.id) for change in self.seen.values())
        page = [self.seen[task_id] for at, task_id in found if (at, task_id) > place][:limit]
        end = ChangePosition(page[-1].changed_at, page[-1].id) if page else position
        return ChangePage(items=page, end=end, full=len(page) == limit)

    async def find(self, task_ids: Sequence[TaskId]) -> Sequence[TaskChange]:
        self._make_visible()
        return [self.seen[task_id] for task_id in task_ids if task_id in self.seen]

    async def unfinished(self, *, cluster: str, after: str, limit: int) -> tuple[Sequence[TaskChange], str | None]:
        return [], None


class NoKeys:
    async def find(self, tenant: Tenant, key: str) -> IdempotencyRecord | None:
        return None


class Reader:
    """A reader of the feed that keeps the greatest revision of each task."""

    def __init__(self, log: Log) -> None:
        self.shutdown = Shutdown()
        self.service = ChangeService(log, NoKeys(), log.clock, self.shutdown)
        self.cursor: str | None = None
        self.known: dict[str, int] = {}
        self.received = 0

    async def read(self, limit: int) -> bool:
        changes = await self.service.read(self.cursor, limit=limit, wait_seconds=0)
        self.cursor = changes.cursor
        self.received += len(changes.items)
        for change in changes.items:
            self.known[change.id] = max(change.rev, self.known.get(change.id, 0))
        return changes.more


writes = st.tuples(st.just("write"), st.sampled_from("abcdefgh"), st.floats(0, 9))
waits = st.tuples(st.just("wait"), st.floats(0, 5), st.none())
reads = st.tuples(st.just("read"), st.integers(1, 5), st.none())
steps_back = st.tuples(st.just("step back"), st.integers(1, 30), st.none())


@settings(max_examples=4 * settings().max_examples)
@given(moves=st.lists(st.one_of(writes, writes, waits, reads, steps_back), max_size=60))
def test_every_change_is_delivered_in_the_end(moves: list[tuple[str, Any, Any]]) -> None:
    async def play() -> None:
        log = Log()
        reader = Reader(log)
        await reader.read(5)
        for move, size, more in moves:
            if move == "write":
                log.write(size, more)
            elif move == "wait":
                log.clock.advance(size)
                await reader.read(5)
            elif move == "read":
                await reader.read(size)
            else:
                log.skew += timedelta(seconds=size)
                await reader.read(5)
        for _ in range(60):
            log.clock.advance(1)
            while await reader.read(3):
                pass
        assert reader.known == log.revs

    asyncio.run(play())


async def test_a_change_is_delivered_again_for_ten_seconds_at_most_every_two() -> None:
    log = Log()
    reader = Reader(log)
    log.write("a", 0)

    for _ in range(400):
        await reader.read(10)
        log.clock.advance(0.1)

    assert 1 < reader.received <= 8


async def test_a_read_waits_for_a_first_change_and_no_longer_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    reader = Reader(log)
    await reader.read(10)
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        log.clock.advance(seconds)
        if len(slept) == 3 and not log.revs:
            log.write("a", 0)

    monkeypatch.setattr("app.services.changes.asyncio.sleep", sleep)
    changes = await reader.service.read(reader.cursor, limit=10, wait_seconds=30)
    assert [change.id for change in changes.items] == ["a"]
    assert len(slept) == 3

    log.clock.advance(60)
    again = await reader.service.read(changes.cursor, limit=10, wait_seconds=1)
    assert [change.id for change in again.items] == ["a"]
    slept.clear()
    nothing = await reader.service.read(again.cursor, limit=10, wait_seconds=1)
    assert (nothing.items, nothing.more) == ([], False)
    assert sum(slept) == pytest.approx(1)


async def test_a_shutdown_ends_the_waiting_for_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(Log())
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        reader.shutdown.begin()

    monkeypatch.setattr("app.services.changes.asyncio.sleep", sleep)
    nothing = await reader.service.read(None, limit=10, wait_seconds=30)
    assert (list(nothing.items), len(slept)) == ([], 1)


any_times = st.one_of(st.datetimes(timezones=st.just(UTC)), st.sampled_from([BEGINNING, END]))


@given(times=st.tuples(any_times, any_times, any_times))
@example(times=(BEGINNING, BEGINNING, BEGINNING))
@example(times=(END, END, END))
@example(times=(EPOCH, EPOCH, EPOCH))
def test_a_cursor_of_any_times_is_read_on_or_refused(times: tuple[datetime, datetime, datetime]) -> None:
    changed_at, *others = times
    cursor = encode_cursor([changed_at, "a", *others])
    service = Reader(Log()).service

    async def follow(cursor: str | None) -> None:
        for _ in range(3):
            cursor = (await service.read(cursor, limit=10, wait_seconds=0)).cursor

    with suppress(InvalidRequest):
        asyncio.run(follow(cursor))


@pytest.mark.parametrize("cursor", ["x", "W10", "WzEsMl0", "e30", "bnVsbA", "é", "WzFlOTk5LCJhIiwxLDFd"])
async def test_a_foreign_cursor_is_refused(cursor: str) -> None:
    service = Reader(Log()).service

    with pytest.raises(InvalidRequest) as refused:
        await service.read(cursor, limit=1, wait_seconds=0)
    assert refused.value.fields[0][0] == "cursor"
    with pytest.raises(InvalidRequest):
        await service.unfinished("c1", cursor=cursor, limit=1)
