"""Safety rules that can be switched off by name, so that the suite can show that it would notice their absence.

Each switch replaces one method of the product, in the process that `tests.chaos.process` runs.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from enum import Enum
from typing import Any
from unittest.mock import patch

from celery import Celery
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionBroken

from app.agents.base import Agent
from app.broker import clients, connections
from app.broker.celery_config import build_celery
from app.domain.run import EventName
from app.domain.task import TaskError, TaskStatus
from app.domain.ticket import Ticket
from app.domain.usage import Usage
from app.errors import StoreUnavailable
from app.llm import chain_call
from app.llm.faults import CONSEQUENCES, ProviderFault, Verdict
from app.outbound import breaker
from app.outbound.breaker import CircuitBreaker
from app.outbound.breaker_state import BreakerRules
from app.ports import IdempotencyRecord, UpkeepCounts
from app.services import window
from app.services.dispatcher import Dispatcher
from app.settings import BrokerSettings, ExecutionSettings
from app.storage import claims, in_flight, lanes, upkeep
from app.storage.careful_writes import CarefulWrites
from app.storage.claims import MongoClaimRepository
from app.storage.idempotency import MongoIdempotencyRepository
from app.storage.leadership import MongoLeaderLock
from app.storage.tasks import MongoTaskRepository
from app.storage.upkeep import MongoUpkeepRepository
from app.storage.writes import change, literal, task_ended
from app.system_clock import SystemClock
from worker import agent_runner, celery_app, endings, executor, journal
from worker.agent_runner import AgentRunner
from worker.allowance import TaskAllowance
from worker.celery_app import ProcessTask, QueueConsumer
from worker.journal import TaskJournal
from worker.leases import HeldClaim, Interruption, LeaseKeeper
from worker.outcome import GiveUp
from worker.runtime import Runtime


class Switch(Enum):
    """The safety rule that is switched off, or applied wrongly."""

    FENCING = "fencing"
    LEASE = "lease"
    IDEMPOTENT_CLAIM = "idempotent-claim"
    JOURNAL = "journal"
    REAPER = "reaper"
    REPAIR = "repair"
    REFUSED_TICKETS = "refused-tickets"
    PATIENCE = "patience"
    RETRIES = "retries"
    CANCEL = "cancel"
    HAND_BACK = "hand-back"
    IDEMPOTENCY_KEY = "idempotency-key"
    ATTEMPT_LIMIT = "attempt-limit"
    QUARANTINE = "quarantine"
    COMPARE_AND_SET = "compare-and-set"
    RESERVATIONS = "reservations"
    LATE_ACKS = "late-acks"
    LETTING_GO = "letting-go"
    TICKET_CHECK = "ticket-check"
    SERVER_CLOCK = "server-clock"
    LEADER_LOCK_EXPIRY = "leader-lock-expiry"
    BROKER_TIMEOUTS = "broker-timeouts"
    BROKER_REFUSALS = "broker-refusals"
    LEAVING_REPLICAS = "leaving-replicas"
    GRACE = "grace"
    LAST_END = "last-end"
    RECONNECT = "reconnect"
    OTHER_VERSION = "other-version"
    TICKET_RELEASE = "ticket-release"
    ABANDONING = "abandoning"
    HUB_TICK = "hub-tick"
    TASK_COUNT = "task-count"
    CONTENT_FAULTS = "content-faults"
    FREE_REFUSALS = "free-refusals"
    RETRY_AFTER_CAP = "retry-after-cap"
    ONE_PROBE = "one-probe"


def _replace(owner: Any, name: str, value: Any) -> None:
    patch.object(owner, name, value).start()


class LaxCollection:
    """A collection whose updates forget conditions: `loosen` gives the filter that is used instead."""

    def __init__(self, collection: Any, loosen: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        self._collection = collection
        self._loosen = loosen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def update_one(self, condition: Mapping[str, Any], change: Any, **options: Any) -> Any:
        return await self._collection.update_one(self._loosen(condition), change, **options)

    async def update_many(self, condition: Mapping[str, Any], change: Any, **options: Any) -> Any:
        return await self._collection.update_many(self._loosen(condition), change, **options)


def _loosen(repository: type[Any], loosen: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    build = repository.__init__

    def init(self: Any, *args: Any, **options: Any) -> None:
        build(self, *args, **options)
        self._tasks = LaxCollection(self._tasks, loosen)

    _replace(repository, "__init__", init)


def _without(condition: Mapping[str, Any], *names: str, where: str) -> Mapping[str, Any]:
    if where not in condition:
        return condition
    return {name: value for name, value in condition.items() if name not in names}


def _fencing() -> None:
    _loosen(MongoClaimRepository, lambda found: _without(found, "epoch", "status", where="last_write"))


def _idempotent_claim() -> None:
    names = ("status", "dispatched_at", "cancel_requested_at")
    _loosen(MongoClaimRepository, lambda found: _without(found, *names, where="cancel_requested_at"))


async def _write_each_unseen(self: CarefulWrites, writes: Sequence[tuple[Mapping[str, Any], Any]]) -> int:
    """Writes whatever has happened since the documents were read."""
    results = [await self._collection.update_one({"_id": seen["_id"]}, pipeline) for seen, pipeline in writes]
    return sum(result.matched_count for result in results)


def _compare_and_set() -> None:
    _replace(CarefulWrites, "write_each", _write_each_unseen)


async def _permit(self: HeldClaim) -> None:
    """Checks no lease."""


def _lease() -> None:
    _replace(HeldClaim, "check", _permit)


def _journal() -> None:
    _replace(TaskJournal, "find", lambda *_: None)


async def _reap_nothing(self: MongoUpkeepRepository, *, excuse_crashes: bool) -> UpkeepCounts:
    return UpkeepCounts(requeued={}, failed={}, cancelled=0)


def _reaper() -> None:
    _replace(MongoUpkeepRepository, "reap", _reap_nothing)


async def _repair_nothing(self: Dispatcher) -> int:
    return 0


def _repair() -> None:
    _replace(Dispatcher, "repair", _repair_nothing)


async def _publish_only(self: window.TicketWindow, tickets: Sequence[Ticket]) -> None:
    await self._queue.publish(tickets)


def _refused_tickets() -> None:
    """Leaves tasks whose tickets Redis has refused as they are: neither do they wait again, nor are tickets sent again.

    One of the two suffices: a task that waits again needs no repair.
    """
    _replace(window.TicketWindow, "_publish", _publish_only)
    _repair()


async def _ask_once(operation: Callable[[], Awaitable[Any]], **_: Any) -> Any:
    try:
        return await operation()
    except StoreUnavailable:
        raise asyncio.CancelledError from None


def _patience() -> None:
    for module in (agent_runner, executor, journal):
        _replace(module, "until_answered", _ask_once)


def _retries() -> None:
    def give_up(failure: Any, *args: Any, **options: Any) -> GiveUp:
        return GiveUp(TaskError(type=failure.code, message=failure.message))

    _replace(endings, "after_failure", give_up)


def _cancel() -> None:
    interrupt = HeldClaim.interrupt

    def interrupt_unless_cancelled(self: HeldClaim, reason: Interruption) -> None:
        if reason is not Interruption.CANCELLED:
            interrupt(self, reason)

    _replace(HeldClaim, "interrupt", interrupt_unless_cancelled)


def _hand_back() -> None:
    _replace(LeaseKeeper, "hand_back_all", lambda *_: None)


async def _reserve_anew(self: Any, tenant: Any, key: str, *, body_hash: str, task_id: Any) -> IdempotencyRecord:
    return IdempotencyRecord(task_id=task_id, body_hash=body_hash, accepted=False)


def _idempotency_key() -> None:
    _replace(MongoIdempotencyRepository, "reserve", _reserve_anew)


def _attempt_limit() -> None:
    judge = MongoUpkeepRepository._verdict
    _replace(MongoUpkeepRepository, "_verdict", lambda self, document, **_: judge(self, document, excuse_crashes=True))


def _quarantine() -> None:
    for module in (in_flight, lanes, upkeep):
        _replace(module, "QUARANTINE_CRASHES", 1_000)


def _reservations() -> None:
    async def reserve(self: TaskAllowance, upper_bound: Usage, **_: Any) -> Usage:
        await self._held.check()
        return upper_bound

    _replace(TaskAllowance, "reserve", reserve)


def _late_acks() -> None:
    """Acknowledges messages as they come, as bare Celery does by default."""
    _replace(ProcessTask, "acks_late", False)


def _letting_go() -> None:
    """Holds a ticket as long as the database is unavailable."""
    _replace(executor, "HOLD_TICKET_SECONDS", float("inf"))


def _ticket_check() -> None:
    _replace(ProcessTask, "run", lambda task, task_id, *_: task.runtime.run(task_id, ticket_id=task.request.id))


def _server_clock() -> None:
    """Lets leases end by the worker's own clock."""

    def later(seconds: float) -> Any:
        return literal(SystemClock().now() + timedelta(seconds=seconds))

    _replace(claims, "later", later)


def _leader_lock_expiry() -> None:
    """Lets a leader that does not release the lock lead for ever."""
    acquire = MongoLeaderLock.acquire

    async def acquire_for_ever(self: MongoLeaderLock, owner: str, *, seconds: float) -> bool:
        return await acquire(self, owner, seconds=1_000_000)

    _replace(MongoLeaderLock, "acquire", acquire_for_ever)


def _broker_timeouts() -> None:
    _replace(window, "PUBLISH_SECONDS", 1_000.0)
    _replace(connections, "COMMAND_SECONDS", 1_000.0)


def _broker_refusals() -> None:
    """Lets a worker end when Redis replies with an error, as Celery does by default."""

    def build(broker: BrokerSettings, execution: ExecutionSettings) -> Celery:
        app = build_celery(broker, execution)
        app.conf.broker_channel_error_retry = False
        return app

    _replace(celery_app, "build_celery", build)


def _leaving_replicas() -> None:
    """Keeps the connections to a primary that has become a replica."""
    connect = connections._connect

    def connect_for_commands(url: SecretStr) -> Redis:
        return connect(url, retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionBroken,)))

    _replace(clients, "connect_for_commands", connect_for_commands)


def _grace() -> None:
    """Makes a stop a kill."""
    _replace(Runtime, "drain", lambda _: os._exit(0))


def _last_end() -> None:
    """Lets a cancel end a task that has ended already."""
    names = ("status",)
    _loosen(MongoTaskRepository, lambda found: _without(found, *names, where="status"))

    async def request_cancel(self: Any, tenant: Any, task_id: Any) -> Any:
        ended = change(task_ended(TaskStatus.CANCELLED.value), event=EventName.CANCELLED)
        await self._tasks.update_one({"_id": task_id, "tenant": tenant, "status": TaskStatus.QUEUED.value}, ended)
        return await self.get(tenant, task_id)

    _replace(MongoTaskRepository, "request_cancel", request_cancel)


def _reconnect() -> None:
    """Applies each request to a consumer once, so that the next connection does not know of it."""
    applied: dict[int, bool] = {}

    def apply(self: QueueConsumer) -> None:
        if applied.get(id(self), True) is not self._wanted:
            applied[id(self)] = self._wanted
            consumer = self._consumer
            (consumer.add_task_queue if self._wanted else consumer.cancel_task_queue)(self._queue)

    _replace(QueueConsumer, "apply", apply)


async def _agent_of_this_version(self: AgentRunner, name: str, *, task_id: str) -> Agent:
    return self._parts.registry.get(name)


def _other_version() -> None:
    _replace(AgentRunner, "_find_agent", _agent_of_this_version)


def _ticket_release() -> None:
    """Keeps a message that is not understood in hand."""

    def run(task: Any, *arguments: Any, **_: Any) -> None:
        if arguments and isinstance(arguments[0], str):
            task.runtime.run(arguments[0], ticket_id=task.request.id)

    _replace(ProcessTask, "run", run)


def _abandoning() -> None:
    _replace(LeaseKeeper, "_abandon_lapsed", lambda *_: None)


def _hub_tick() -> None:
    """Sets the hub's timer once, as for a connection that never breaks."""
    build, steps = celery_app._hub_step, []

    def build_once(*args: Any) -> type[Any]:
        step = build(*args)
        start = step.start

        def start_once(self: Any, parent: Any) -> None:
            if self not in steps:
                steps.append(self)
                start(self, parent)

        step.start = start_once
        return step

    _replace(celery_app, "_hub_step", build_once)


def _task_count() -> None:
    """Counts every failure of a task against its model's breaker."""
    failed = CircuitBreaker.failed

    async def count_each(self: CircuitBreaker, name: str, *, by: str) -> None:
        await failed(self, name, by=f"{by} {uuid.uuid4()}")

    _replace(CircuitBreaker, "failed", count_each)


def _content_faults() -> None:
    """Counts a refusal of one request as an illness of the model."""
    for kind, consequence in CONSEQUENCES.items():
        if consequence.verdict is Verdict.ALIVE:
            patch.dict(CONSEQUENCES, {kind: replace(consequence, verdict=Verdict.ILL)}).start()


def _free_refusals() -> None:
    _replace(chain_call, "uses_up_attempt", lambda _: True)


def _retry_after_cap() -> None:
    _replace(ProviderFault, "cap_retry_after", lambda *_: None)
    _replace(breaker, "BreakerRules", lambda **rules: BreakerRules(**{**rules, "longest_pause_seconds": 1e9}))


def _one_probe() -> None:
    """Lets every call through after a pause, because the place of the probe is free again at once."""
    _replace(breaker, "_PROBE_SECONDS", 0.0)
    _replace(breaker, "_VERDICT_SECONDS", 0.0)


_OFF: Mapping[Switch, Callable[[], None]] = {
    Switch.FENCING: _fencing,
    Switch.LEASE: _lease,
    Switch.IDEMPOTENT_CLAIM: _idempotent_claim,
    Switch.JOURNAL: _journal,
    Switch.REAPER: _reaper,
    Switch.REPAIR: _repair,
    Switch.REFUSED_TICKETS: _refused_tickets,
    Switch.PATIENCE: _patience,
    Switch.RETRIES: _retries,
    Switch.CANCEL: _cancel,
    Switch.HAND_BACK: _hand_back,
    Switch.IDEMPOTENCY_KEY: _idempotency_key,
    Switch.ATTEMPT_LIMIT: _attempt_limit,
    Switch.QUARANTINE: _quarantine,
    Switch.COMPARE_AND_SET: _compare_and_set,
    Switch.RESERVATIONS: _reservations,
    Switch.LATE_ACKS: _late_acks,
    Switch.LETTING_GO: _letting_go,
    Switch.TICKET_CHECK: _ticket_check,
    Switch.SERVER_CLOCK: _server_clock,
    Switch.LEADER_LOCK_EXPIRY: _leader_lock_expiry,
    Switch.BROKER_TIMEOUTS: _broker_timeouts,
    Switch.BROKER_REFUSALS: _broker_refusals,
    Switch.LEAVING_REPLICAS: _leaving_replicas,
    Switch.GRACE: _grace,
    Switch.LAST_END: _last_end,
    Switch.RECONNECT: _reconnect,
    Switch.OTHER_VERSION: _other_version,
    Switch.TICKET_RELEASE: _ticket_release,
    Switch.ABANDONING: _abandoning,
    Switch.HUB_TICK: _hub_tick,
    Switch.TASK_COUNT: _task_count,
    Switch.CONTENT_FAULTS: _content_faults,
    Switch.FREE_REFUSALS: _free_refusals,
    Switch.RETRY_AFTER_CAP: _retry_after_cap,
    Switch.ONE_PROBE: _one_probe,
}


def turn_off(switch: Switch) -> None:
    _OFF[switch]()
