"""How long to wait before the next try of a model: pure functions.

Full jitter: a random time between 0 and base·2ⁿ, at most `BACKOFF_CAP_SECONDS`. A provider's Retry-After is the least
wait; one that is longer than the cap, or that the deadline does not allow, is not waited for inside a call: the next
model is asked, or the task comes back later without holding a slot.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

BACKOFF_CAP_SECONDS = 8.0


def backoff_seconds(tries: int, *, base_seconds: float, rng: random.Random) -> float:
    """The wait after `tries` failed tries (1 or more)."""
    return rng.uniform(0, min(BACKOFF_CAP_SECONDS, base_seconds * 2.0 ** min(tries - 1, 32)))


def delay_before_retry(backoff: float, *, retry_after: float | None, remaining: float) -> float | None:
    """Seconds to wait, None when there is no point in waiting. Part of the backoff spreads those told the same."""
    if retry_after is not None and retry_after > BACKOFF_CAP_SECONDS:
        return None
    delay = backoff if retry_after is None else min(BACKOFF_CAP_SECONDS, retry_after + backoff / 4)
    return delay if delay < remaining else None


def parse_retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds from `retry-after-ms` or `retry-after` (seconds or an HTTP date); None where neither makes sense."""
    milliseconds = _to_seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _to_seconds(value)
    if seconds is not None or value is None:
        return seconds
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def _to_seconds(value: str | None) -> float | None:
    try:
        seconds = float(value) if value is not None else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < float("inf") else None
