"""The wait before the next attempt of a model: pure functions.

Full jitter: a random time between 0 and base·2ⁿ, at most `BACKOFF_CAP_SECONDS`. The wait for which a provider asks is
the least: Retry-After, or without it the time until the rate limit that is used up is reset. If it exceeds the cap or
the deadline, the call does not wait: the next model is called, or the task comes back later, without a slot until then.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

BACKOFF_CAP_SECONDS = 8.0
# A greater number of seconds is a moment since 1970 (of 2001 and later), and a thousand times greater, milliseconds.
_FIRST_UNIX_TIME = 1_000_000_000
_LONGEST_VALUE = 100
_UNIT_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|[dhms])")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")


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
    """Parses `retry-after-ms` or `retry-after` (seconds, a duration or a date); None if neither is valid."""
    # OpenAI sends the more exact header beside the standard one.
    milliseconds = _to_number(headers.get("retry-after-ms"))
    return milliseconds / 1000 if milliseconds is not None else _to_wait(headers.get("retry-after"), now=now)


def parse_limit_reset(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Computes the seconds until the rate limit that is used up is reset; None if the headers do not say.

    Providers send the headers of a limit in pairs: `x-ratelimit-remaining-tokens` with `x-ratelimit-reset-tokens`,
    `anthropic-ratelimit-requests-remaining` with `anthropic-ratelimit-requests-reset`. Of several limits that are used
    up, the last one to be reset counts. A limit without a count of what is left counts if no other is used up.
    """
    named = {name.lower().replace("rate-limit", "ratelimit"): value for name, value in headers.items()}
    used_up: list[float] = []
    uncounted: list[float] = []
    for name, value in named.items():
        wait = _to_wait(value, now=now) if "ratelimit" in name and "reset" in name else None
        if wait is None:
            continue
        left = named.get(name.replace("reset", "remaining"))
        if left is None:
            uncounted.append(wait)
        elif _is_nothing(left):
            used_up.append(wait)
    return max(used_up, default=None) if used_up else min(uncounted, default=None)


def parse_should_retry(headers: Mapping[str, str]) -> bool | None:
    """Parses `x-should-retry`, with which OpenAI and Anthropic themselves decide on a retry; None if they do not."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def _is_nothing(left: str) -> bool:
    try:
        return float(left) <= 0
    except ValueError:
        return False


def _to_wait(value: str | None, *, now: datetime) -> float | None:
    """Reads a wait in seconds from a number, a duration (`6m0s`), a Unix time, or a date of HTTP or of RFC 3339."""
    if value is None or len(value) > _LONGEST_VALUE:
        return None
    number = _to_number(value)
    if number is None:
        number = _to_duration(value.strip())
    if number is None:
        return _until(value.strip(), now=now)
    if number < _FIRST_UNIX_TIME:
        return number
    moment = number / 1000 if number >= _FIRST_UNIX_TIME * 1000 else number
    return max(0.0, moment - now.timestamp())


def _to_number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < float("inf") else None


def _to_duration(value: str) -> float | None:
    if not _DURATION.fullmatch(value):
        return None
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(value))


def _until(value: str, *, now: datetime) -> float | None:
    at = _to_moment(value)
    if at is None:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def _to_moment(value: str) -> datetime | None:
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            return parse(value)
        except (ValueError, OverflowError):
            continue
    return None
