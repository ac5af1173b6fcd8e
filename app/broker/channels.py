"""The keys and channels in Redis. None of them is the truth: each forms anew or expires."""

from __future__ import annotations

ARRIVALS_KEY = "ao:queue:arrivals"
SNAPSHOT_KEY = "ao:queue:snapshot"
# The leader writes the snapshot every second. Once it has expired, no process has led for this long.
SNAPSHOT_TTL_SECONDS = 60
WORKERS_KEY = "ao:workers"
# Nobody reads it: writing it shows whether Redis takes writes.
WRITE_CHECK_KEY = "ao:write-check"
WRITE_CHECK_TTL_SECONDS = 60
KICK_CHANNEL = "ao:kick"
CANCEL_CHANNEL = "ao:cancel"
DONE_CHANNEL = "ao:done"
DRAIN_CHANNEL = "ao:drain"
# Five intervals, so that a worker that misses a few writes still counts.
PRESENCE_TTL_SECONDS = 10
PRESENCE_INTERVAL_SECONDS = 2


def worker_key(worker_id: str) -> str:
    return f"ao:worker:{worker_id}"


def drain_key(worker_id: str) -> str:
    return f"ao:drain:{worker_id}"
