"""The worker's composition root: one event loop in one thread, and everything that runs on it.

Celery's pool threads hand a ticket over and wait; the work itself is asyncio, so hundreds of tasks share a process. The
loop outlives every task, because pooled HTTP clients die with their loop.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Protocol

import psutil
import uvloop
from redis.asyncio import Redis

from app import __version__
from app.agents.registry import AgentRegistry, build_registry
from app.background import keep_running
from app.broker.channels import DRAIN_CHANNEL
from app.broker.connections import connect_for_commands, connect_for_listening, listen, redis_command
from app.broker.drain_leases import RedisDrainLeases
from app.domain.identity import TaskId
from app.domain.task import Task
from app.errors import BrokerUnavailable
from app.llm.gateway import LLMGateway
from app.outbound.http import HttpTimeouts, build_web_client
from app.ports import Clock
from app.settings import Settings
from app.storage.agent_directory import MongoAgentDirectory
from app.storage.claims import MongoClaimRepository
from app.storage.mongo import connect, database
from app.storage.projections import MongoProjectionRepository
from app.system_clock import SystemClock
from app.telemetry.logs import get_logger
from app.telemetry.metrics import OutboundMetrics, WorkerMetrics
from app.telemetry.tracing import Tracing
from app.tools.web_search import WebSearch
from worker.consumption import Consuming, Consumption
from worker.draining import Draining
from worker.executor import Executor, ExecutorParts
from worker.leases import LeaseKeeper
from worker.presence import PresenceLoop, announce_end, listen_for_cancels
from worker.probe_server import ProbeServer
from worker.projector import Projector
from worker.recent import RecentWork
from worker.store_watch import StoreWatch
from worker.vitals import LoopWatchdog, Signs, Vitals, judge

TICK_SECONDS = 1.0
VITALS_SECONDS = 2.0
STOP_SECONDS = 10.0
MODELS_FIRST_LOOK_SECONDS = 60.0
MODELS_LOOK_SECONDS = 21_600.0

_log = get_logger(__name__)


class GatewayFactory(Protocol):
    """Builds the gateway on the runtime's event loop."""

    def __call__(
        self, settings: Settings, *, redis: Redis, metrics: OutboundMetrics, tracing: Tracing, clock: Clock
    ) -> LLMGateway: ...


class Runtime:
    """Starts on construction; `run` is called from pool threads, `drain` and `close` from the main thread."""

    def __init__(self, settings: Settings, *, make_gateway: GatewayFactory) -> None:
        self._settings = settings
        self._make_gateway = make_gateway
        self._clock = SystemClock()
        self._metrics = WorkerMetrics(version=__version__)
        self._metrics.tasks.slots.set(settings.worker.concurrency)
        self._tracing = Tracing(settings.process, process="worker", version=__version__)
        self.name = settings.worker.name or socket.gethostname()
        self.worker_id = f"{self.name}-{uuid.uuid4().hex[:8]}"
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="runtime", daemon=True)
        self._thread.start()
        self._consuming = asyncio.Event()
        self._introduced = asyncio.Event()
        self._vitals = Vitals(self._clock)
        self._process = psutil.Process()
        self._tickets: set[str] = set()
        self._background: list[asyncio.Task[None]] = []
        self._call(self._open()).result()
        self._probe = ProbeServer(
            settings.worker.metrics_host,
            settings.worker.metrics_port,
            metrics=self._metrics,
            signs=self._signs,
            ready=lambda: self._consuming.is_set() and self._introduced.is_set(),
        )
        self._watchdog = LoopWatchdog(self._vitals, watched=lambda: self._thread.ident)
        _log.info("worker_started", worker_id=self.worker_id, slots=settings.worker.concurrency)

    def reserve(self, ticket_id: str) -> None:
        """Notes a ticket that was fetched."""
        self._tickets.add(ticket_id)

    def run(self, task_id: str, *, ticket_id: str) -> None:
        """Runs the task of a fetched ticket; blocks the calling thread until its end is stored."""
        try:
            self._call(self._executor.run(TaskId(task_id))).result()
        finally:
            self.let_go(ticket_id)

    def let_go(self, ticket_id: str) -> None:
        """Forgets a ticket that was fetched; where its task still waits, the leader finds it without one."""
        self._tickets.discard(ticket_id)

    def hub_ticked(self) -> None:
        """Celery's hub has turned; called by it about once a second."""
        self._vitals.hub_ticked()

    def control(self, consuming: Consuming) -> None:
        """Hands over what fetches tickets, once it does."""
        self._loop.call_soon_threadsafe(self._consumption.control, consuming)
        self._loop.call_soon_threadsafe(self._consuming.set)

    def drain(self) -> None:
        """Says that no more tickets are taken; after the grace, runs are handed back at their next node boundary."""
        self._loop.call_soon_threadsafe(self._draining.stop)
        self._loop.call_soon_threadsafe(
            self._loop.call_later, self._settings.worker.grace_seconds, self._leases.hand_back_all
        )

    def close(self) -> None:
        """Stops the loop and everything on it. Runs have ended by then."""
        self._probe.close()
        self._watchdog.close()
        self._call(self._shut()).result(timeout=STOP_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=STOP_SECONDS)
        self._tracing.close()
        _log.info("worker_stopped", worker_id=self.worker_id)

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _open(self) -> None:
        settings = self._settings
        self._mongo = connect(settings.store)
        db = database(self._mongo, settings.store)
        self._redis = connect_for_commands(settings.broker.redis_url)
        self._tickets_redis = connect_for_commands(settings.broker.tickets_url)
        self._listening = connect_for_listening(settings.broker.redis_url)
        claims = MongoClaimRepository(db, lease_seconds=settings.execution.lease_seconds)
        directory = MongoAgentDirectory(db)
        registry = build_registry(settings.agents)
        gateway = self._make_gateway(
            settings, redis=self._redis, metrics=self._metrics.outbound, tracing=self._tracing, clock=self._clock
        )
        self._gateway = gateway
        self._leases = LeaseKeeper(claims, lease_seconds=settings.execution.lease_seconds, clock=self._clock)
        self._consumption = Consumption()
        self._store_watch = StoreWatch(claims, self._consumption)
        self._draining = Draining(
            RedisDrainLeases(self._redis),
            claims,
            self._leases,
            self._consumption,
            worker_id=self.worker_id,
            fetched=self._fetched,
        )
        self._projector = Projector(
            MongoProjectionRepository(db, patience_seconds=2 * settings.execution.lease_seconds),
            busy=lambda: bool(self._leases.held),
            clock=self._clock,
        )
        self._web = build_web_client(HttpTimeouts(settings.search.timeout_seconds))
        search = WebSearch(settings.search, client=self._web, breaker=gateway.breaker, metrics=self._metrics.outbound)
        recent = RecentWork(self._clock)
        self._executor = Executor(
            ExecutorParts(
                claims=claims,
                directory=directory,
                leases=self._leases,
                draining=self._draining,
                store_watch=self._store_watch,
                registry=registry,
                bind_llm=gateway.bind,
                search=search,
                finished=self._finished,
                recent=recent,
                settings=settings,
                metrics=self._metrics.tasks,
                tracing=self._tracing,
                clock=self._clock,
                owner=self.worker_id,
            )
        )
        self._presence = PresenceLoop(
            self._redis,
            self._leases,
            worker_id=self.worker_id,
            name=self.name,
            slots=settings.worker.concurrency,
            version=__version__,
            clock=self._clock,
            breakers=gateway.breaker.states,
            recent=recent,
            draining=self._draining,
            fetched=self._fetched,
            paused=lambda: self._consumption.paused,
            condition=lambda: judge(self._signs()),
            memory_mb=self._memory_mb,
            publish_agents=lambda: self._introduce(directory, registry),
        )
        duties: dict[str, Callable[[], Awaitable[None]]] = {
            "heartbeat": self._leases.run,
            "presence": self._presence.run,
            "agents": self._presence.publish,
            "projections": self._projector.run,
            "drain": self._draining.run,
            "store": self._store_watch.run,
            "drain-news": self._hear_of_drains,
            "cancels": lambda: listen_for_cancels(self._listening, self._leases),
            "tick": self._tick,
            "vitals": self._watch_vitals,
            "models": self._watch_models,
            "permits": gateway.limits.run,
        }
        for name, duty in duties.items():
            self._background.append(asyncio.create_task(keep_running(name, duty), name=name))

    async def _introduce(self, directory: MongoAgentDirectory, registry: AgentRegistry) -> None:
        await directory.publish(registry.cards())
        self._introduced.set()

    async def _tick(self) -> None:
        while True:
            self._vitals.loop_ticked()
            await asyncio.sleep(TICK_SECONDS)

    def _fetched(self) -> frozenset[TaskId]:
        """The tasks of all tickets in hand: those that wait for a thread or are being claimed, and those that run."""
        return frozenset(TaskId(ticket_id.partition(":")[0]) for ticket_id in list(self._tickets))

    async def _hear_of_drains(self) -> None:
        async for worker_id in listen(self._listening, DRAIN_CHANNEL):
            self._draining.hear(worker_id)

    async def _watch_vitals(self) -> None:
        """Looks whether tickets lie there and none is taken, and whether the memory has grown too far."""
        await self._consuming.wait()
        limit_mb = self._settings.worker.max_memory_mb
        while True:
            await asyncio.sleep(VITALS_SECONDS)
            await self._look_at_queue()
            if limit_mb is not None and self._memory_mb() > limit_mb and not self._draining.announced:
                _log.error("memory_limit_reached", memory_mb=round(self._memory_mb(), 1), limit_mb=limit_mb)
                signal.raise_signal(signal.SIGTERM)

    async def _look_at_queue(self) -> None:
        try:
            async with redis_command("tell the queue's length"):
                listed = int(await self._tickets_redis.execute_command("LLEN", self._settings.broker.queue))
        except BrokerUnavailable:
            self._vitals.excuse_hub()
            return
        working = bool(self._tickets) or self._draining.announced or self._consumption.paused
        self._vitals.note_queue(listed=listed, working=working)

    def _signs(self) -> Signs:
        return self._vitals.signs(store_away=self._store_watch.away)

    def _memory_mb(self) -> float:
        return float(self._process.memory_info().rss) / 2**20

    async def _watch_models(self) -> None:
        """Looks now and then when the models in use end; not at once, so that a start stays cheap."""
        await asyncio.sleep(MODELS_FIRST_LOOK_SECONDS)
        while True:
            await self._gateway.observe_shutdowns()
            await asyncio.sleep(MODELS_LOOK_SECONDS)

    def _finished(self, task: Task) -> None:
        self._projector.add(task.id)
        self._background.append(asyncio.create_task(announce_end(self._redis, task.id)))
        self._background = [work for work in self._background if not work.done()]

    async def _shut(self) -> None:
        for work in self._background:
            work.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._projector.flush()
        await self._presence.withdraw()
        await self._gateway.aclose()
        await self._web.aclose()
        await self._listening.aclose()
        await self._tickets_redis.aclose()
        await self._redis.aclose()
        self._mongo.close()
