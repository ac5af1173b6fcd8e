"""The signs of life of this worker: its event loop runs, Celery's hub ticks, and it does not idle beside a full queue.

A consumer may lose its subscription and still answer every ping; the only sign is that it fetches nothing although
there are tickets. A stalled event loop cannot report itself, so a thread watches it and logs where it is blocked.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from app.ports import Clock
from app.telemetry.logs import get_logger

TICK_SECONDS = 1.0
STALL_SECONDS = 20.0
IDLE_SECONDS = 60.0
DUMP_AFTER_SECONDS = 5.0  # well before STALL_SECONDS: a probe then has the process restarted, and the stack is lost
WATCH_SECONDS = 1.0
FRAMES_SHOWN = 20

_log = get_logger(__name__)


class Condition(StrEnum):
    """The health of this worker, as its probe and its presence report it."""

    OK = "ok"
    LOOP_STALLED = "loop_stalled"
    HUB_STALLED = "hub_stalled"
    IDLE_BESIDE_QUEUE = "idle_beside_queue"
    STORE_AWAY = "store_away"

    @property
    def restart_helps(self) -> bool:
        """Returns True if the process is to blame, so that a probe should have it restarted."""
        return self not in (Condition.OK, Condition.STORE_AWAY)


@dataclass(frozen=True)
class Signs:
    """The seconds since each part was last seen to work; the hub's are 0 until it ticks for the first time."""

    loop_silent_seconds: float
    hub_silent_seconds: float
    idle_beside_queue_seconds: float
    store_away: bool = False


def judge(signs: Signs) -> Condition:
    """Returns the worst condition that the signs show."""
    if signs.loop_silent_seconds >= STALL_SECONDS:
        return Condition.LOOP_STALLED
    if signs.hub_silent_seconds >= STALL_SECONDS:
        return Condition.HUB_STALLED
    if signs.idle_beside_queue_seconds >= IDLE_SECONDS:
        return Condition.IDLE_BESIDE_QUEUE
    if signs.store_away:
        return Condition.STORE_AWAY
    return Condition.OK


class Vitals:
    """The observations behind the signs. Several threads write them; each is one plain value, so no lock is needed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop_at = clock.monotonic()
        self._hub_at: float | None = None
        self._idle_since: float | None = None

    async def run(self) -> None:
        """Records every second that the event loop runs, until cancelled."""
        while True:
            self.record_loop_tick()
            await asyncio.sleep(TICK_SECONDS)

    def record_loop_tick(self) -> None:
        self._loop_at = self._clock.monotonic()

    def record_hub_tick(self) -> None:
        self._hub_at = self._clock.monotonic()

    def excuse_hub(self) -> None:
        """Counts the hub's silence from now on: Redis does not answer, and the hub waits for it."""
        # A restart would not help while Redis is unavailable, and would cost the runs under way.
        if self._hub_at is not None:
            self._hub_at = self._clock.monotonic()

    def record_queue(self, *, listed: int, working: bool) -> None:
        """Records the queue's length. If `working`, a ticket is in hand or none may be fetched: no sign of illness."""
        if listed == 0 or working:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = self._clock.monotonic()

    def signs(self, *, store_away: bool = False) -> Signs:
        now = self._clock.monotonic()
        return Signs(
            loop_silent_seconds=now - self._loop_at,
            hub_silent_seconds=0.0 if self._hub_at is None else now - self._hub_at,
            idle_beside_queue_seconds=0.0 if self._idle_since is None else now - self._idle_since,
            store_away=store_away,
        )


class LoopWatchdog:
    """A thread that logs, once per stall, where the event loop's thread is blocked. Starts on construction."""

    def __init__(self, vitals: Vitals, *, watched: Callable[[], int | None]) -> None:
        """Starts the thread. `watched` returns the identifier of the loop's thread."""
        self._vitals = vitals
        self._watched = watched
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        logged = False
        while not self._over.wait(WATCH_SECONDS):
            silent_seconds = self._vitals.signs().loop_silent_seconds
            stalled = silent_seconds >= DUMP_AFTER_SECONDS
            if stalled and not logged:
                stack = stack_of(self._watched())
                _log.error("event_loop_stalled", silent_seconds=round(silent_seconds, 1), stack=stack)
            logged = stalled


def stack_of(thread_id: int | None) -> list[str]:
    """Returns the frames of the thread, innermost last: files, lines and functions, no values."""
    frames = sys._current_frames()  # noqa: SLF001  # documented; the only way to see another thread's stack
    frame = None if thread_id is None else frames.get(thread_id)
    if frame is None:
        return []
    places = traceback.extract_stack(frame)[-FRAMES_SHOWN:]
    return [f"{place.filename}:{place.lineno} {place.name}" for place in places]
