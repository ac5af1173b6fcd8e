"""The state of a circuit breaker and its changes: once as pure functions, once as the Lua script for Redis.

The two must stay equal; a property test runs both on the same events. Times are seconds on any clock that only grows
(the process's monotonic clock here, the server's clock in Redis, in milliseconds).

    closed ──failures of different tasks in a row──▶ open ──cool-down over──▶ half open ──probe──▶ closed, or open again
    closed ──429──▶ cooling ──pause over──▶ closed to all but one probe ──▶ closed, or cooling again

A breaker counts tasks, not failures: in one row a task counts once, however often and by whichever workers it is tried.
Otherwise one slow or broken task would close a model to the tasks of others. Failures further apart than one cool-down
are not "in a row", and a success ends the row. A failure of a call that began before the breaker opened changes
nothing; neither does such a call's success.

After a pause one call is the probe. Only its own success ends the pause for all: a call that began before the 429
proves nothing about the rate. A provider refuses for the rate at once, but may take minutes to answer. So a probe that
has not been refused for `verdict_seconds` ends the pause too; otherwise a provider with long answers would get one call
at a time. A probe that fails leaves its place to the next caller.

During a rolling update, workers of the version before `failed_by` and `probe_by` use the same hash. They leave the two
fields as they are, count each of their failures, and let all of their calls start after a pause, because a pause that
is over is what they store for "closed". Tasks that they leave in `failed_by` do not count in the next row, which at
worst opens the breaker later. A pause that they store for longer than `longest_pause_seconds` ends that long after the
first event here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

Event = Literal["ask", "succeeded", "failed", "rate_limited", "abandoned"]


class BreakerState(StrEnum):
    """The states as the metric, the logs and the API name them.

    A breaker whose pause is over is CLOSED also while it waits for its probe: the provider is healthy, and without
    calls nothing would ever end another state.
    """

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"
    COOLING = "cooling"

    @property
    def tripped(self) -> bool:
        """Returns whether failures have opened the breaker, and no probe has closed it yet."""
        return self in (BreakerState.OPEN, BreakerState.HALF_OPEN)


@dataclass(frozen=True)
class BreakerRules:
    """The numbers of a breaker, times in seconds (milliseconds for the script).

    `threshold` different tasks open it for `reset_seconds`. A probe of an open breaker lasts `probe_seconds` at most,
    one after a pause `verdict_seconds`. No pause is longer than `longest_pause_seconds`, whoever stored it.
    """

    threshold: int
    reset_seconds: float
    probe_seconds: float
    verdict_seconds: float
    longest_pause_seconds: float


@dataclass(frozen=True)
class BreakerStatus:
    """The stored values. `…_until` are times, 0 for none; `…_by` are digests of tasks.

    `tripped`: failures opened it, and a probe has to close it. `paused`: a 429 stopped the calls, and a probe has to
    let them go on. At most one of the two is true. `failures` counts the tasks of the row; `failed_by` lacks those that
    a worker of the former version has counted.
    """

    failures: int = 0
    failures_until: float = 0.0
    failed_by: frozenset[str] = frozenset()
    blocked_until: float = 0.0
    tripped: bool = False
    paused: bool = False
    probe_until: float = 0.0
    probe_by: str = ""

    def state(self, now: float) -> BreakerState:
        """Derives the state from the times."""
        if self.blocked_until > now:
            return BreakerState.OPEN if self.tripped else BreakerState.COOLING
        return BreakerState.HALF_OPEN if self.tripped else BreakerState.CLOSED


CLOSED = BreakerStatus()


def apply(
    status: BreakerStatus, event: Event, *, now: float, rules: BreakerRules, by: str = "", pause_seconds: float = 0.0
) -> tuple[bool, BreakerStatus]:
    """Applies one event of a call of the task `by`. The first value is False if the call asked and must not start."""
    status = _capped(status, now=now, rules=rules)
    match event:
        case "ask":
            return ask(status, now=now, rules=rules, by=by)
        case "succeeded":
            return True, after_success(status, now=now, by=by)
        case "failed":
            return True, after_failure(status, now=now, rules=rules, by=by)
        case "rate_limited":
            return True, after_rate_limit(status, now=now, seconds=min(pause_seconds, rules.longest_pause_seconds))
        case "abandoned":
            return True, after_abandoned_call(status, by=by)


def _capped(status: BreakerStatus, *, now: float, rules: BreakerRules) -> BreakerStatus:
    if not status.paused:
        return status
    return replace(status, blocked_until=min(status.blocked_until, now + rules.longest_pause_seconds))


def ask(status: BreakerStatus, *, now: float, rules: BreakerRules, by: str = "") -> tuple[bool, BreakerStatus]:
    """Checks whether a call may start. The first one after a pause, or while the breaker is half open, is the probe."""
    if status.blocked_until > now or status.probe_until > now:
        return False, status
    if status.paused and status.probe_until > 0:
        return True, replace(status, paused=False, blocked_until=0.0, probe_until=0.0, probe_by="")
    if status.tripped or status.paused:
        seconds = rules.probe_seconds if status.tripped else rules.verdict_seconds
        return True, replace(status, probe_until=now + seconds, probe_by=by)
    return True, status


def after_success(status: BreakerStatus, *, now: float, by: str = "") -> BreakerStatus:
    """Closes the breaker, unless the call says nothing about it because it began before the breaker was blocked."""
    if status.blocked_until > now:
        return status
    if status.paused and by != status.probe_by:
        return replace(status, failures=0, failures_until=0.0, failed_by=frozenset())
    return CLOSED


def after_failure(status: BreakerStatus, *, now: float, rules: BreakerRules, by: str) -> BreakerStatus:
    """Counts the task once. Opens the breaker at the threshold, and at once after a failed probe of an open one."""
    if status.blocked_until > now:
        return status
    in_a_row = status.failures_until > now
    failed_by = status.failed_by if in_a_row else frozenset()
    failures = (status.failures if in_a_row else 0) + (by not in failed_by)
    if status.tripped or failures >= rules.threshold:
        return BreakerStatus(blocked_until=now + rules.reset_seconds, tripped=True)
    return replace(
        after_abandoned_call(status, by=by),
        failures=failures,
        failures_until=now + rules.reset_seconds,
        failed_by=failed_by | {by},
    )


def after_rate_limit(status: BreakerStatus, *, now: float, seconds: float) -> BreakerStatus:
    """Sets the pause that a healthy provider requested. An open breaker stays open."""
    if status.blocked_until > now and status.tripped:
        return status
    return BreakerStatus(blocked_until=max(status.blocked_until, now + seconds), paused=True)


def after_abandoned_call(status: BreakerStatus, *, by: str = "") -> BreakerStatus:
    """Frees the probe of a call that ended without a verdict (cancelled): the next caller gets it."""
    return replace(status, probe_until=0.0, probe_by="") if by == status.probe_by else status


# KEYS: the breaker's hash. ARGV: event, digest of the task, number of tasks that opens; then in ms: cool-down, length
# of a probe, length of one after a pause, longest pause, length of this pause.
# Reply: allowed, failures, the milliseconds until each point in time (0 when past), tripped, paused.
# The times are those of the server, because the monotonic clocks of two workers cannot be compared.
# `paused` is not stored: a time of blocking without `tripped` means it, also in a hash of a former version.
# An unused hash expires after ten cool-downs, at least an hour: without calls nobody knows the provider's health.
SCRIPT = """
local key, event, by = KEYS[1], ARGV[1], ARGV[2]
local threshold, reset, probe = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local verdict, longest_pause, pause = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local raw = redis.call('HMGET', key, 'failures', 'failures_until', 'blocked_until', 'tripped', 'probe_until',
  'failed_by', 'probe_by')
local failures, failures_until = tonumber(raw[1]) or 0, tonumber(raw[2]) or 0
local blocked_until, tripped = tonumber(raw[3]) or 0, raw[4] == '1'
local probe_until, failed_by, probe_by = tonumber(raw[5]) or 0, raw[6] or '', raw[7] or ''
local paused = blocked_until > 0 and not tripped
local allowed, changed = 1, false
if paused and blocked_until > now + longest_pause then blocked_until, changed = now + longest_pause, true end
local blocked = blocked_until > now

local function end_row() failures, failures_until, failed_by, changed = 0, 0, '', true end
local function free_probe() probe_until, probe_by, changed = 0, '', true end
local function block(b_until, t)
  end_row()
  free_probe()
  blocked_until, tripped = b_until, t
end

if event == 'ask' then
  if blocked or probe_until > now then
    allowed = 0
  elseif paused and probe_until > 0 then
    free_probe()
    blocked_until = 0
  elseif tripped or paused then
    probe_until, probe_by, changed = now + (tripped and probe or verdict), by, true
  end
elseif event == 'succeeded' then
  if not blocked and paused and by ~= probe_by then
    if failures > 0 then end_row() end
  elseif not blocked then
    block(0, false)
  end
elseif event == 'failed' then
  if not blocked then
    if failures_until <= now then end_row() end
    if not string.find(',' .. failed_by, ',' .. by .. ',', 1, true) then
      failures, failed_by = failures + 1, failed_by .. by .. ','
    end
    failures_until, changed = now + reset, true
    if tripped or failures >= threshold then
      block(now + reset, true)
    elseif by == probe_by then
      free_probe()
    end
  end
elseif event == 'rate_limited' then
  if not (blocked and tripped) then
    block(math.max(blocked_until, now + math.min(pause, longest_pause)), false)
  end
elseif event == 'abandoned' then
  if probe_until > 0 and by == probe_by then free_probe() end
end

if changed then
  if failures == 0 and blocked_until == 0 then
    redis.call('DEL', key)
  else
    redis.call('HSET', key, 'failures', failures, 'failures_until', failures_until, 'blocked_until', blocked_until,
      'tripped', tripped and '1' or '0', 'probe_until', probe_until, 'failed_by', failed_by, 'probe_by', probe_by)
    redis.call('PEXPIRE', key, math.max(3600000, 10 * reset) + math.max(0, blocked_until - now))
  end
end
local function left(at) return math.max(0, at - now) end
return {allowed, failures, left(failures_until), left(blocked_until), tripped and 1 or 0, left(probe_until),
  blocked_until > 0 and not tripped and 1 or 0}
"""
