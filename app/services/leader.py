"""The leader: the one API process that does what only one process has to do.

It dispatches, repairs, reaps, sweeps, projects, removes documents whose time is over, and publishes the snapshot. When
it takes over, it sorts what a leader of another version has left.

The lock lasts ten seconds and is renewed every three seconds by a task of its own. Two leaders at once are harmless,
because every act is a compare-and-set. The duties are independent loops: a duty that fails for lack of a server logs
it, waits a second (longer after a scan that fails slowly again and again) and goes on, and the other duties are not
affected. A process that takes over begins with every duty, whatever pauses are left from the time when it led before.
One that only renewed its lock late keeps its pauses: nobody else can have led.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from app.background import keep_running
from app.errors import DependencyError, StoreError
from app.ports import (
    Clock,
    LeaderLock,
    ProjectionRepository,
    Retention,
    RollUp,
    TaskQueue,
    TaskUpkeep,
    UpkeepCounts,
)
from app.services.dispatcher import REPAIR_BATCH, Dispatcher
from app.services.snapshot import SnapshotPublisher
from app.telemetry.logs import get_logger, origin
from app.telemetry.metrics import LeaderMetrics

LOCK_SECONDS = 10.0  # nobody leads for this long after the leader was killed
RENEW_SECONDS = 3.0
BUSY_TICK_SECONDS = 0.05
IDLE_TICK_SECONDS = 1.0  # kicks wake the leader sooner, but may get lost, and none comes when a delayed task is due
REPAIR_TICK_SECONDS = 1.0
PROJECTION_TICK_SECONDS = 2.0
PROJECTION_BATCH = 100
PROJECTION_SHARE = 9  # pauses of nine times the work: a tenth of the time goes to projections, however deep the backlog
SWEEP_TICK_SECONDS = 1.0
SCAN_SHARE = 50  # pauses of fifty times the work: at most a fiftieth of the time goes to each scan
SORT_SECONDS = 60.0  # only a leader of another version leaves something to sort: before a take-over, or just after it
REMOVAL_TICK_SECONDS = 1.0
# Ages are a matter of days. A walk through all sessions and keys pauses for nine times the work of each part.
EVENT_REMOVAL_SECONDS = 600.0
WALK_SECONDS = 3_600.0
WALK_SHARE = 9
ROLL_UP_SECONDS = 300.0
FORGET_WORKERS_SECONDS = 60.0  # a few ids of dead workers cost next to nothing
PAUSE_AFTER_ERROR_SECONDS = 1.0
LONGEST_PAUSE_AFTER_ERROR_SECONDS = 600.0

_log = get_logger(__name__)


@dataclass(frozen=True)
class LeaderPorts:
    """The stores and the queue that the leader uses."""

    lock: LeaderLock
    upkeep: TaskUpkeep
    projections: ProjectionRepository
    retention: Retention
    system: RollUp
    queue: TaskQueue


class Leader:
    """The duties of the leading process, which run while it holds the lock. `owner` names one start of one process."""

    def __init__(
        self,
        ports: LeaderPorts,
        dispatcher: Dispatcher,
        snapshots: SnapshotPublisher,
        *,
        owner: str,
        lease_seconds: float,
        clock: Clock,
        metrics: LeaderMetrics,
    ) -> None:
        self._ports = ports
        self._dispatcher = dispatcher
        self._snapshots = snapshots
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._metrics = metrics
        self._leading = asyncio.Event()
        self._taken_again = asyncio.Event()
        self._lock_ends_at = float("-inf")
        self._kicked = asyncio.Event()
        self._excuse_until = float("-inf")
        self._excuse_next = False
        self._reaped_at: float | None = None
        self._scan_seconds: dict[str, tuple[float, float]] = {}

    @property
    def leading(self) -> bool:
        return self._leading.is_set()

    async def run(self) -> None:
        """Runs until it is cancelled; releases the lock at the end, so that another process leads at once."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_lock(), name="leader-lock")
                group.create_task(keep_running("leader-kicks", self._listen), name="leader-kicks")
                for name, duty in self._duties().items():
                    group.create_task(self._repeat(name, duty), name=f"leader-{name}")
        finally:
            if self.leading:
                self._leading.clear()
                self._dispatcher.step_down()
                with contextlib.suppress(DependencyError, StoreError):
                    await self._ports.lock.release(self._owner)

    def _duties(self) -> Mapping[str, Callable[[], Awaitable[float]]]:
        """Builds the duties by name. Each does one round and returns the seconds until its next one."""
        retention = self._ports.retention
        return {
            "dispatch": self._dispatch,
            "repair": self.repair,
            "reap": self.reap,
            "sweep": partial(self.scan, "sweep", self._sweep, every_seconds=SWEEP_TICK_SECONDS),
            "sort_all_lanes": partial(
                self.scan, "sort_all_lanes", self._ports.upkeep.sort_all_lanes, every_seconds=SORT_SECONDS
            ),
            "project": self._project,
            "remove_tasks": partial(self.remove, retention.remove_tasks, every_seconds=REMOVAL_TICK_SECONDS),
            "remove_events": partial(self.remove, retention.remove_events, every_seconds=EVENT_REMOVAL_SECONDS),
            "remove_sessions": partial(self.walk, retention.remove_sessions),
            "remove_keys": partial(self.walk, retention.remove_keys),
            "snapshot": self._snapshots.publish,
            "count_all": self._snapshots.count_all,
            "roll_up": self._roll_up,
            "forget_workers": self._forget_workers,
        }

    async def _keep_lock(self) -> None:
        while True:
            began = self._clock.monotonic()
            try:
                # A renewal begins three seconds after the last one, so one without an answer ends as the lock expires.
                async with asyncio.timeout(LOCK_SECONDS - RENEW_SECONDS):
                    acquired = await self._ports.lock.acquire(self._owner, seconds=LOCK_SECONDS)
            except (DependencyError, StoreError, TimeoutError):
                acquired = False
            if acquired and not self.leading:
                self._take_over()
            elif not acquired and self.leading:
                self._leading.clear()
                self._dispatcher.step_down()
                _log.warning("leadership_lost", owner=self._owner)
            if acquired:
                self._lock_ends_at = began + LOCK_SECONDS
            await asyncio.sleep(RENEW_SECONDS if acquired else 1.0)

    def _take_over(self) -> None:
        # Whatever ended the former leadership may have kept workers from renewing their leases, too.
        self.excuse_one_lease()
        self._leading.set()
        if self._clock.monotonic() >= self._lock_ends_at:  # before, nobody else can have led
            self._taken_again.set()
            self._taken_again = asyncio.Event()
        _log.info("leadership_taken", owner=self._owner)

    async def _listen(self) -> None:
        async for tenant in self._ports.queue.kicks():
            self._dispatcher.record_waiting(tenant)
            self._kicked.set()

    async def _repeat(self, name: str, duty: Callable[[], Awaitable[float]]) -> None:
        while True:
            await self._leading.wait()
            taken_again = self._taken_again
            try:
                pause_seconds = await duty()
            except Exception as error:  # noqa: BLE001  # the edge of a duty: one that fails must not end the others
                _log.warning("leader_duty_failed", duty=name, error_class=type(error).__name__, where=origin(error))
                pause_seconds = self.pause_after_error(name)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await taken_again.wait()

    async def _wait_for_kick(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._kicked.wait()
        self._kicked.clear()

    async def _dispatch(self) -> float:
        try:
            waiting = await self._dispatcher.dispatch()
        finally:
            if not self.leading:
                self._dispatcher.step_down()  # the lock was lost during the round, which has filled the list again
        await self._wait_for_kick(BUSY_TICK_SECONDS if waiting else IDLE_TICK_SECONDS)
        return 0.0

    async def repair(self) -> float:
        """Sends lost tickets again. The next round follows at once if there may be more, as after a loss of all."""
        return 0.0 if await self._dispatcher.repair() == REPAIR_BATCH else REPAIR_TICK_SECONDS

    async def reap(self) -> float:
        """Reaps, though not before one lease has passed since a take-over, an outage or a gap of its own.

        A lease that expired in that time could not be renewed, so its expiry does not count as a crash.
        """
        tick_seconds = self._lease_seconds / 6
        now = self._clock.monotonic()
        # A gap: this process was stopped or starved. Workers on the same machine may have been, too.
        if self._reaped_at is not None and now - self._reaped_at > tick_seconds + self._lease_seconds / 2:
            self.excuse_one_lease()
        self._reaped_at = now
        if now < self._excuse_until:
            return tick_seconds
        try:
            reaped = await self._ports.upkeep.reap(excuse_crashes=self._excuse_next)
        except Exception:  # whatever it was: leases that expired meanwhile may not have been renewable
            self.excuse_one_lease()
            raise
        # One round may not reach all leases that expired in the excused time; the next round excuses the rest.
        self._excuse_next = self._excuse_next and reaped.more
        for reason, count in reaped.requeued.items():
            self._metrics.reaper_requeued.labels(reason=reason).inc(count)
        if reaped.requeued:
            _log.warning("tasks_reaped", **reaped.requeued)
            self._kicked.set()
        _log_failed(reaped)
        return 0.0 if reaped.more else tick_seconds

    async def _sweep(self) -> None:
        _log_failed(await self._ports.upkeep.sweep())

    async def scan(self, name: str, scan: Callable[[], Awaitable[None]], *, every_seconds: float) -> float:
        """Reads all waiting tasks: the deeper the backlog, the longer the pause until the next time."""
        began = self._clock.monotonic()
        try:
            await scan()
        finally:
            # One that failed counts, too: reading until the time limit costs the database as much.
            _, before = self._scan_seconds.get(name, (0.0, 0.0))
            self._scan_seconds[name] = before, self._clock.monotonic() - began
        return max(every_seconds, self._scan_pause(name))

    def pause_after_error(self, name: str) -> float:
        """Returns the seconds to wait after a failure: a second, or longer for a scan that has failed slowly twice."""
        return max(PAUSE_AFTER_ERROR_SECONDS, min(self._scan_pause(name), LONGEST_PAUSE_AFTER_ERROR_SECONDS))

    def _scan_pause(self, name: str) -> float:
        # The shorter of two: a single slow one was held up, by a failover for example.
        return min(self._scan_seconds.get(name, (0.0, 0.0))) * SCAN_SHARE

    def excuse_one_lease(self) -> None:
        """Keeps the reaper from reaping for one lease, and from counting as crashes what has expired by its end."""
        self._excuse_until = self._clock.monotonic() + self._lease_seconds
        self._excuse_next = True

    async def _project(self) -> float:
        """Projects the tasks that workers left out. Claims and results come first, so it takes a part of the time."""
        began = self._clock.monotonic()
        stale = await self._ports.projections.find_stale(PROJECTION_BATCH)
        if stale:
            await self._ports.projections.project(stale)
        if len(stale) < PROJECTION_BATCH:
            return PROJECTION_TICK_SECONDS
        return (self._clock.monotonic() - began) * PROJECTION_SHARE

    async def remove(self, remove: Callable[[], Awaitable[bool]], *, every_seconds: float) -> float:
        """Removes a batch. The next one follows at once if there is more: documents go as fast as they come."""
        return 0.0 if await remove() else every_seconds

    async def walk(self, remove: Callable[[], Awaitable[bool]]) -> float:
        """Removes what has to go of the next part of a collection. It reads the whole one, so it takes a tenth."""
        began = self._clock.monotonic()
        more = await remove()
        return (self._clock.monotonic() - began) * WALK_SHARE if more else WALK_SECONDS

    async def _roll_up(self) -> float:
        await self._ports.system.roll_up()
        return ROLL_UP_SECONDS

    async def _forget_workers(self) -> float:
        await self._ports.queue.forget_silent_workers()
        return FORGET_WORKERS_SECONDS


def _log_failed(reaped: UpkeepCounts) -> None:
    for code, count in reaped.failed.items():
        _log.warning("tasks_given_up", error_code=code, count=count)
