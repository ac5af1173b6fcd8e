"""The wait before the next attempt of a model: pure functions.

Full jitter: a random time between 0 and base·2ⁿ, at most `BACKOFF_CAP_SECONDS`. A provider's Retry-After is the least
wait. If it exceeds the cap or the deadline, the call does not wait: the next model is called, or the task comes back
later and holds no slot meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

BACKOFF_CAP_SECONDS = 8.0


def backoff_seconds(tries: int, *, base_seconds: float, rng: random.Random) -> float:
    """Draws the wait after `tries` failed attempts (1 or more)."""
    # The exponent is limited, because 2.0 ** 1024 overflows; the cap is reached long before.
    return rng.uniform(0, min(BACKOFF_CAP_SECONDS, base_seconds * 2.0 ** min(tries - 1, 32)))


def delay_before_retry(backoff: float, *, retry_after: float | None, remaining: float) -> float | None:
    """Computes the seconds to wait; None if waiting makes no sense."""
    if retry_after is not None and retry_after > BACKOFF_CAP_SECONDS:
        return None
    # A part of the backoff on top: callers that got the same Retry-After must not come back together.
    delay = backoff if retry_after is None else min(BACKOFF_CAP_SECONDS, retry_after + backoff / 4)
    return delay if delay < remaining else None


def parse_retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Parses `retry-after-ms` or `retry-after` (seconds or an HTTP date); None if neither is valid."""
    # OpenAI sends the more exact header beside the standard one.
    milliseconds = _to_seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _to_seconds(value)
    if seconds is not None or value is None:
        return seconds
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def _to_seconds(value: str | None) -> float | None:
    try:
        seconds = float(value) if value is not None else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < float("inf") else None
