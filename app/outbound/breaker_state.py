"""The state of a circuit breaker and its changes: once as pure functions, once as the Lua script for Redis.

The two must stay equal; a property test runs both on the same events. Times are seconds on any clock that only grows
(the process's monotonic clock here, the server's clock in Redis, in milliseconds).

    closed ──failures in a row──▶ open ──cool-down over──▶ half open ──one probe──▶ closed, or open again
    closed ──429──▶ cooling ──pause over──▶ closed

Failures further apart than one cool-down are not "in a row". A failure of a call that began before the breaker opened
changes nothing; neither does such a call's success.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class BreakerState(StrEnum):
    """The states as the metric, the logs and the API name them."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"
    COOLING = "cooling"


@dataclass(frozen=True)
class BreakerStatus:
    """The stored values. `tripped`: failures opened it, so a probe has to close it. `…_until` are times, 0 for none."""

    failures: int = 0
    failures_until: float = 0.0
    blocked_until: float = 0.0
    tripped: bool = False
    probe_until: float = 0.0

    def state(self, now: float) -> BreakerState:
        """Derives the state from the times."""
        if self.blocked_until > now:
            return BreakerState.OPEN if self.tripped else BreakerState.COOLING
        return BreakerState.HALF_OPEN if self.tripped else BreakerState.CLOSED


CLOSED = BreakerStatus()


def ask(status: BreakerStatus, *, now: float, probe_seconds: float) -> tuple[bool, BreakerStatus]:
    """Checks whether a call may start. The one that may start while the breaker is half open is the probe."""
    if status.blocked_until > now or (status.tripped and status.probe_until > now):
        return False, status
    if status.tripped:
        return True, replace(status, probe_until=now + probe_seconds)
    return True, status


def after_success(status: BreakerStatus, *, now: float) -> BreakerStatus:
    """Closes the breaker, unless it is blocked: then the call began before that."""
    return status if status.blocked_until > now else CLOSED


def after_failure(status: BreakerStatus, *, now: float, threshold: int, reset_seconds: float) -> BreakerStatus:
    """Counts a failure. Opens the breaker at the threshold, and at once after a failed probe."""
    if status.blocked_until > now:
        return status
    failures = (status.failures if status.failures_until > now else 0) + 1
    if status.tripped or failures >= threshold:
        return BreakerStatus(blocked_until=now + reset_seconds, tripped=True)
    return BreakerStatus(failures=failures, failures_until=now + reset_seconds)


def after_rate_limit(status: BreakerStatus, *, now: float, seconds: float) -> BreakerStatus:
    """Sets the pause that a healthy provider requested. An open breaker stays open; any other closes afterwards."""
    if status.blocked_until > now and status.tripped:
        return status
    return BreakerStatus(blocked_until=max(status.blocked_until, now + seconds))


def after_abandoned_call(status: BreakerStatus) -> BreakerStatus:
    """Frees the probe of a call that ended without a verdict (cancelled): the next caller gets it."""
    return replace(status, probe_until=0.0)


# KEYS: the breaker's hash. ARGV: event, failures that open, cool-down, length of a probe, length of a pause (all ms).
# Reply: allowed, failures, the milliseconds until each point in time (0 when past), tripped.
# The times are those of the server, because the monotonic clocks of two workers cannot be compared.
# An unused hash expires after ten cool-downs, at least an hour: without calls nobody knows the provider's health.
SCRIPT = """
local key, event = KEYS[1], ARGV[1]
local threshold, reset = tonumber(ARGV[2]), tonumber(ARGV[3])
local probe, pause = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local raw = redis.call('HMGET', key, 'failures', 'failures_until', 'blocked_until', 'tripped', 'probe_until')
local failures, failures_until = tonumber(raw[1]) or 0, tonumber(raw[2]) or 0
local blocked_until, tripped = tonumber(raw[3]) or 0, raw[4] == '1'
local probe_until = tonumber(raw[5]) or 0
local allowed, changed = 1, false
local blocked = blocked_until > now

local function become(f, f_until, b_until, t)
  failures, failures_until, blocked_until, tripped, probe_until = f, f_until, b_until, t, 0
  changed = true
end

if event == 'ask' then
  if blocked or (tripped and probe_until > now) then
    allowed = 0
  elseif tripped then
    probe_until, changed = now + probe, true
  end
elseif event == 'succeeded' then
  if not blocked then become(0, 0, 0, false) end
elseif event == 'failed' then
  if not blocked then
    local count = (failures_until > now and failures or 0) + 1
    if tripped or count >= threshold then
      become(0, 0, now + reset, true)
    else
      become(count, now + reset, 0, false)
    end
  end
elseif event == 'rate_limited' then
  if not (blocked and tripped) then become(0, 0, math.max(blocked_until, now + pause), false) end
elseif event == 'abandoned' then
  if probe_until > 0 then probe_until, changed = 0, true end
end

if changed then
  if failures == 0 and blocked_until == 0 and not tripped then
    redis.call('DEL', key)
  else
    redis.call('HSET', key, 'failures', failures, 'failures_until', failures_until, 'blocked_until', blocked_until,
      'tripped', tripped and '1' or '0', 'probe_until', probe_until)
    redis.call('PEXPIRE', key, math.max(3600000, 10 * reset) + math.max(0, blocked_until - now))
  end
end
local function left(at) return math.max(0, at - now) end
return {allowed, failures, left(failures_until), left(blocked_until), tripped and 1 or 0, left(probe_until)}
"""
