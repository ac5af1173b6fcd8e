"""The wiring of the worker: which clients are opened, which part gets which, and in which order all of it ends.

`assemble` opens nothing. `assembled` opens the clients, keeps the duties running while its body runs, and closes what
was opened in reverse order, also if the start fails half-way. All of it belongs to the event loop that it is opened on:
pooled connections end with their loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import httpx
from redis.asyncio import Redis

from app import __version__
from app.agents.registry import AgentRegistry, build_registry
from app.background import Duty, running_duties
from app.broker.connections import connect_for_commands, connect_for_listening
from app.broker.drain_leases import RedisDrainLeases
from app.domain.identity import TaskId
from app.domain.task import Task
from app.llm.gateway import LLMGateway
from app.outbound.http import HttpTimeouts, build_web_client
from app.ports import AgentDirectory, Clock
from app.settings import Settings
from app.storage.agent_directory import MongoAgentDirectory
from app.storage.claims import MongoClaimRepository
from app.storage.mongo import Database, connect, database
from app.storage.projections import MongoProjectionRepository
from app.telemetry.metrics import OutboundMetrics, WorkerMetrics
from app.telemetry.tracing import Tracing
from app.tools.web_search import DEFAULT_URL, WebSearch
from worker.consumption import Consumption
from worker.draining import Draining
from worker.executor import Executor
from worker.leases import LeaseKeeper
from worker.listening import listen_for_cancels, listen_for_drains
from worker.presence import AgentPublisher, EndPublisher, PresenceLoop, SelfReport
from worker.projector import Projector
from worker.recent import RecentWork
from worker.run_context import RunParts
from worker.self_check import SelfCheck
from worker.store_watch import StoreWatch
from worker.vitals import Vitals

MODELS_FIRST_CHECK_SECONDS = 10.0  # not at once: the lists of models are no part of a start
MODELS_CHECK_SECONDS = 21_600.0


class GatewayFactory(Protocol):
    """The builder of the gateway; called on the event loop of the runs."""

    def __call__(
        self, settings: Settings, *, redis: Redis, metrics: OutboundMetrics, tracing: Tracing, clock: Clock
    ) -> LLMGateway: ...


@dataclass(frozen=True)
class WorkerProcess:
    """The process around the parts: its identity, its instruments, and the tickets that its threads have in hand."""

    worker_id: str
    name: str
    metrics: WorkerMetrics
    tracing: Tracing
    clock: Clock
    vitals: Vitals
    fetched: Callable[[], Collection[TaskId]]


@dataclass(frozen=True)
class Clients:
    """The clients of all servers, each opened once per process.

    `tickets_redis` may be another server than `redis`. `listening` is a client of its own, because it waits for
    messages without the short time limit of a command.
    """

    db: Database
    redis: Redis
    tickets_redis: Redis
    listening: Redis
    web: httpx.AsyncClient
    gateway: LLMGateway


@dataclass(frozen=True)
class Assembly:
    """The wired worker: the parts that threads outside of the event loop use, and the duties beside the runs."""

    executor: Executor
    leases: LeaseKeeper
    draining: Draining
    consumption: Consumption
    self_check: SelfCheck
    agents: AgentPublisher
    presence: PresenceLoop
    projector: Projector
    ends: EndPublisher
    duties: Mapping[str, Duty]

    def ready(self) -> bool:
        """Returns True once both stores have answered: Redis with a consumer, the database with the agents."""
        return self.consumption.attached.is_set() and self.agents.published.is_set()


@contextlib.asynccontextmanager
async def assembled(
    settings: Settings, process: WorkerProcess, *, make_gateway: GatewayFactory
) -> AsyncIterator[Assembly]:
    """Opens, wires and runs the worker. Raises ConfigurationError; what was opened until then is closed."""
    async with opened_clients(settings, process, make_gateway=make_gateway) as clients:
        assembly = assemble(settings, clients=clients, process=process)
        try:
            async with running_duties(assembly.duties):
                yield assembly
        finally:
            # The duties have ended: the presence loop would publish again what is withdrawn here. The clients are open.
            await assembly.ends.close()
            await assembly.projector.flush()
            await assembly.presence.withdraw()


@contextlib.asynccontextmanager
async def opened_clients(
    settings: Settings, process: WorkerProcess, *, make_gateway: GatewayFactory
) -> AsyncIterator[Clients]:
    """Opens the clients one by one and closes them in reverse order, each even if closing another one failed.

    The order is part of the stop: the gateway and the search client use Redis for breakers and limits, and are closed
    first; the database is closed last.
    """
    broker = settings.broker
    async with contextlib.AsyncExitStack() as stack:
        mongo = connect(settings.store)
        stack.callback(mongo.close)
        redis = connect_for_commands(broker.redis_url)
        stack.push_async_callback(redis.aclose)
        tickets_redis = connect_for_commands(broker.tickets_url)
        stack.push_async_callback(tickets_redis.aclose)
        listening = connect_for_listening(broker.redis_url)
        stack.push_async_callback(listening.aclose)
        web = build_web_client(
            HttpTimeouts(settings.search.timeout_seconds), settings.search.tavily_base_url or DEFAULT_URL
        )
        stack.push_async_callback(web.aclose)
        gateway = make_gateway(
            settings, redis=redis, metrics=process.metrics.outbound, tracing=process.tracing, clock=process.clock
        )
        stack.push_async_callback(gateway.aclose)
        yield Clients(
            db=database(mongo, settings.store),
            redis=redis,
            tickets_redis=tickets_redis,
            listening=listening,
            web=web,
            gateway=gateway,
        )


def assemble(settings: Settings, *, clients: Clients, process: WorkerProcess) -> Assembly:
    """Wires the parts. Opens nothing. Raises ConfigurationError for an agent that cannot be loaded."""
    parts = _build_claim_parts(settings, clients=clients, process=process)
    directory = MongoAgentDirectory(clients.db)
    registry = build_registry(settings.agents)
    projector = _build_projector(settings, clients=clients, process=process, leases=parts.leases)
    self_check = _build_self_check(settings, clients=clients, process=process, parts=parts)
    agents, ends = AgentPublisher(directory, registry.cards()), EndPublisher(clients.redis)
    report = _build_report(settings, clients=clients, process=process, parts=parts, self_check=self_check)
    presence = PresenceLoop(clients.redis, report, clock=process.clock)

    def on_end(task: Task) -> None:
        projector.add(task.id)
        ends.publish(task.id)

    executor = _build_executor(
        settings,
        clients=clients,
        process=process,
        parts=parts,
        directory=directory,
        registry=registry,
        on_end=on_end,
    )
    return Assembly(
        executor=executor,
        leases=parts.leases,
        draining=parts.draining,
        consumption=parts.consumption,
        self_check=self_check,
        agents=agents,
        presence=presence,
        projector=projector,
        ends=ends,
        duties={
            "heartbeat": parts.leases.run,
            "presence": presence.run,
            "agents": agents.run,
            "projections": projector.run,
            "drain": parts.draining.run,
            "store": parts.store_watch.run,
            "drain-news": partial(listen_for_drains, clients.listening, parts.draining),
            "cancels": partial(listen_for_cancels, clients.listening, parts.leases),
            "tick": process.vitals.run,
            "vitals": self_check.run,
            "models": partial(watch_models, clients.gateway),
            "permits": clients.gateway.limits.run,
        },
    )


@dataclass(frozen=True)
class _ClaimParts:
    """The parts around claims: what this worker holds, and whether it takes more."""

    claims: MongoClaimRepository
    leases: LeaseKeeper
    consumption: Consumption
    store_watch: StoreWatch
    draining: Draining
    recent: RecentWork


def _build_claim_parts(settings: Settings, *, clients: Clients, process: WorkerProcess) -> _ClaimParts:
    lease_seconds = settings.execution.lease_seconds
    claims = MongoClaimRepository(clients.db, owner=process.worker_id, lease_seconds=lease_seconds)
    leases = LeaseKeeper(claims, lease_seconds=lease_seconds, clock=process.clock)
    consumption = Consumption()
    draining = Draining(
        RedisDrainLeases(clients.redis),
        claims,
        leases,
        consumption,
        worker_id=process.worker_id,
        fetched=process.fetched,
    )
    return _ClaimParts(
        claims=claims,
        leases=leases,
        consumption=consumption,
        store_watch=StoreWatch(claims, consumption),
        draining=draining,
        recent=RecentWork(process.clock),
    )


def _build_projector(settings: Settings, *, clients: Clients, process: WorkerProcess, leases: LeaseKeeper) -> Projector:
    # After two leases the leader's sweep projects what this worker has not.
    projections = MongoProjectionRepository(clients.db, patience_seconds=2 * settings.execution.lease_seconds)
    return Projector(projections, busy=lambda: bool(leases.held), clock=process.clock)


def _build_self_check(settings: Settings, *, clients: Clients, process: WorkerProcess, parts: _ClaimParts) -> SelfCheck:
    return SelfCheck(
        clients.tickets_redis,
        process.vitals,
        consumption=parts.consumption,
        draining=parts.draining,
        store_watch=parts.store_watch,
        fetched=process.fetched,
        queue=settings.broker.queue,
        max_memory_mb=settings.worker.max_memory_mb,
    )


def _build_report(
    settings: Settings, *, clients: Clients, process: WorkerProcess, parts: _ClaimParts, self_check: SelfCheck
) -> SelfReport:
    return SelfReport(
        worker_id=process.worker_id,
        name=process.name,
        slots=settings.worker.concurrency,
        version=__version__,
        leases=parts.leases,
        draining=parts.draining,
        consumption=parts.consumption,
        recent=parts.recent,
        fetched=process.fetched,
        breakers=clients.gateway.breaker.states,
        condition=self_check.condition,
        memory_mb=self_check.memory_mb,
    )


def _build_executor(
    settings: Settings,
    *,
    clients: Clients,
    process: WorkerProcess,
    parts: _ClaimParts,
    directory: AgentDirectory,
    registry: AgentRegistry,
    on_end: Callable[[Task], None],
) -> Executor:
    search = WebSearch(
        settings.search, client=clients.web, breaker=clients.gateway.breaker, metrics=process.metrics.outbound
    )
    return Executor(
        RunParts(
            claims=parts.claims,
            directory=directory,
            leases=parts.leases,
            draining=parts.draining,
            store_watch=parts.store_watch,
            registry=registry,
            bind_llm=clients.gateway.bind,
            search=search,
            on_end=on_end,
            recent=parts.recent,
            settings=settings,
            metrics=process.metrics.tasks,
            tracing=process.tracing,
            clock=process.clock,
        )
    )


async def watch_models(gateway: LLMGateway) -> None:
    """Compares the models in use now and then with the lists of their providers, until cancelled."""
    await asyncio.sleep(MODELS_FIRST_CHECK_SECONDS)
    while True:
        await gateway.observe_models()
        await asyncio.sleep(MODELS_CHECK_SECONDS)
