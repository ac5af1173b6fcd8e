"""The API process: builds every client once, hands them down, and leads while it holds the lock.

`python -m app.main` runs one uvicorn process. This module only wires the parts and orders their start and stop; it
decides nothing about tasks. If the database is unavailable at the start, the process answers 503 until it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import FrameType

import uvicorn
from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline

from app import __version__
from app.api import autoscaler, changes, execute, health, sessions, system, tasks
from app.api.auth import Authenticator
from app.api.dependencies import ApiState, single_parameters
from app.api.http_protocol import bounded_http_protocol
from app.api.middleware import install_middleware
from app.api.openapi import install_openapi
from app.api.problems import install_error_handlers
from app.background import Duty, running_duties
from app.broker.clients import Broker
from app.errors import ConfigurationError, StoreUnavailable
from app.garbage import collect_rarely
from app.server_check import refuse_unsuitable
from app.services.arrivals import Arrivals
from app.services.changes import ChangeService
from app.services.completion import CompletionWatch
from app.services.dependency_health import HealthService
from app.services.dispatcher import Dispatcher
from app.services.intake_switch import IntakeSwitch
from app.services.keys import KeyService
from app.services.leader import Leader, LeaderPorts
from app.services.policies import TenantPolicies
from app.services.roster import AgentRoster
from app.services.scaling_decisions import ScalingDecisionService
from app.services.service_key import ServiceKey
from app.services.sessions import SessionService
from app.services.shutdown import Shutdown
from app.services.snapshot import SnapshotPublisher
from app.services.system import SystemService
from app.services.tasks import TaskPorts, TaskService
from app.services.window import TicketWindow
from app.services.workers import WorkerService
from app.settings import Settings, load_settings
from app.storage.stores import Stores
from app.system_clock import SystemClock
from app.telemetry.logs import configure_logging, get_logger
from app.telemetry.metrics import ApiMetrics, LeaderMetrics
from app.telemetry.tracing import Tracing

PREPARE_RETRY_SECONDS = 1.0
SHUTDOWN_SECONDS = 10
START_FAILED = 3
# Load balancers keep idle connections for 60 s. If the server closed first, it could cut a request just being sent.
IDLE_SECONDS = 75

_log = get_logger(__name__)


@dataclass(frozen=True)
class Assembly:
    """The wired application: the state that handlers use, and the duties that run beside them."""

    state: ApiState
    keys: KeyService
    service_key: ServiceKey
    window: TicketWindow
    background: Mapping[str, Duty]


def create_app(settings: Settings) -> FastAPI:
    """Builds the application without contacting any server; that happens when it starts."""
    metrics = ApiMetrics(version=__version__)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tracing = Tracing(settings.process, process="api", version=__version__)
        stores = Stores(settings, SystemClock())
        broker = Broker(settings, SystemClock())
        assembly = assemble(settings, stores, broker, metrics=metrics, tracing=tracing, shutdown=app.state.shutdown)
        app.state.api = assembly.state
        try:
            async with running(assembly, stores, settings):
                _log.info("api_started", keys_required=settings.api.keys_required)
                yield
        finally:
            await broker.close()
            stores.close()
            tracing.close()
            _log.info("api_stopped")

    # Its page of the documentation loads script and style from this process: it works where no other host is reached.
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/assets",
        title="Agent Orchestrator",
        version=__version__,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.shutdown = Shutdown()
    for part in (execute, changes, tasks, sessions, system, autoscaler, health):
        app.include_router(part.router, dependencies=[Depends(single_parameters)])
    install_error_handlers(app)
    install_openapi(app)
    install_middleware(app, settings.api, metrics.http)
    return app


def assemble(
    settings: Settings, stores: Stores, broker: Broker, *, metrics: ApiMetrics, tracing: Tracing, shutdown: Shutdown
) -> Assembly:
    """Wires ports to services without opening any connection."""
    clock = SystemClock()
    queue, execution = broker.queue, settings.execution
    window = TicketWindow(queue, stores.dispatch, clock)
    policies = TenantPolicies(stores.api_keys, execution.tenant_policy, clock)
    snapshots = SnapshotPublisher(
        stores.queue_counter,
        queue,
        expected_service_seconds=execution.expected_service_seconds,
        policies=policies,
        clock=clock,
        metrics=metrics.leader,
    )
    arrivals = Arrivals(queue)
    dispatcher = Dispatcher(stores.dispatch, queue, window, policies, clock)
    leader = _build_leader(settings, stores, broker, dispatcher, snapshots, metrics=metrics.leader)
    intake_switch = IntakeSwitch(stores.system, clock)
    roster = AgentRoster(stores.agents, clock)
    completion = CompletionWatch(stores.tasks, queue, clock, shutdown)
    health_service = HealthService(stores.system, queue, clock)
    keys = KeyService(stores.api_keys, clock)
    task_service = TaskService(
        TaskPorts(stores.tasks, stores.sessions, stores.idempotency, queue),
        roster=roster,
        intake_switch=intake_switch,
        tickets=window,
        policies=policies,
        completion=completion,
        limits=execution,
        retention=settings.retention,
        clock=clock,
        count_accepted=arrivals.record_accepted,
    )
    state = ApiState(
        settings=settings,
        tasks=task_service,
        changes=ChangeService(stores.changes, stores.idempotency, clock, shutdown),
        sessions=SessionService(stores.sessions, stores.tasks, queue),
        system=SystemService(
            stores.system, stores.queue_counter, queue, intake_switch=intake_switch, health=health_service, clock=clock
        ),
        health=health_service,
        roster=roster,
        workers=WorkerService(queue, broker.drains),
        scaling=ScalingDecisionService(stores.scaling),
        authenticator=Authenticator(keys, broker.rate_limiter, settings.api),
        metrics=metrics,
        tracing=tracing,
    )
    service_key = ServiceKey(keys, settings.api)
    background = {"leader": leader.run, "completion": completion.run, "arrivals": arrivals.run}
    return Assembly(state=state, keys=keys, service_key=service_key, window=window, background=background)


def _build_leader(
    settings: Settings,
    stores: Stores,
    broker: Broker,
    dispatcher: Dispatcher,
    snapshots: SnapshotPublisher,
    *,
    metrics: LeaderMetrics,
) -> Leader:
    return Leader(
        LeaderPorts(
            lock=stores.leadership,
            upkeep=stores.upkeep,
            projections=stores.projections,
            retention=stores.retention,
            system=stores.system,
            queue=broker.queue,
        ),
        dispatcher,
        snapshots,
        owner=f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}",
        lease_seconds=settings.execution.lease_seconds,
        clock=SystemClock(),
        metrics=metrics,
    )


@contextlib.asynccontextmanager
async def running(assembly: Assembly, stores: Stores, settings: Settings) -> AsyncIterator[None]:
    """Prepares the database and keeps the background duties running until the body ends.

    Raises ConfigurationError if nobody could ever call the API, because keys are required and there is none.
    """
    prepared = False
    with contextlib.suppress(StoreUnavailable):
        await prepare(assembly, stores, settings)
        prepared = True

    # Requests are answered from the start, with 503 during the outage; only leading waits for the indexes.
    async def lead_when_prepared() -> None:
        if not prepared:
            await _prepare_when_possible(assembly, stores, settings)
        await assembly.background["leader"]()

    duties = {**assembly.background, "leader": lead_when_prepared, "service_key": assembly.service_key.run}
    async with running_duties(duties):
        try:
            yield
        finally:
            # Before the duties end and the broker is closed: tickets of accepted tasks are still being sent.
            await assembly.window.drain()


async def prepare(assembly: Assembly, stores: Stores, settings: Settings) -> None:
    """Creates the indexes and stores the service key. Raises StoreUnavailable, ConfigurationError."""
    await stores.ensure_indexes()
    await assembly.service_key.install()
    if settings.api.auth == "off" and not settings.api.loopback:
        _log.warning("api_open_to_everybody", host=settings.api.host)
    if settings.api.keys_required and not settings.api.loopback and not await assembly.keys.any_usable():
        raise ConfigurationError(
            f"The API would listen on {settings.api.host} and nobody has a key: set AGENT_BOOTSTRAP_SERVICE_KEY, or "
            "create a key with `agent-orchestrator keys create NAME`, or open it to everybody with AGENT_API_AUTH=off."
        )


async def _prepare_when_possible(assembly: Assembly, stores: Stores, settings: Settings) -> None:
    while True:
        try:
            return await prepare(assembly, stores, settings)
        except (StoreUnavailable, ConfigurationError) as error:  # a missing key, too: one may be created
            _log.warning("database_not_prepared", error_code=error.code)
            await asyncio.sleep(PREPARE_RETRY_SECONDS)


def main() -> int:
    """Runs the API until it is stopped and returns the exit code: 2 for wrong settings, 3 for a failed start."""
    try:
        settings = load_settings()
        configure_logging(settings.process, process="api")
        asyncio.run(refuse_unsuitable(settings))
        application = create_app(settings)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    collect_rarely()
    config = uvicorn.Config(
        application,
        host=settings.api.host,
        port=settings.api.port,
        loop="uvloop",
        http=bounded_http_protocol(max_connections=settings.api.max_connections),
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = Server(config, application.state.shutdown)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return 0 if server.started else START_FAILED


class Server(uvicorn.Server):
    """The server, which marks the shutdown as soon as it receives the signal.

    uvicorn runs the end of the lifespan only after open requests are answered; long polls must see the mark before.
    """

    def __init__(self, config: uvicorn.Config, shutdown: Shutdown) -> None:
        super().__init__(config)
        self._shutdown = shutdown

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._shutdown.begin()
        super().handle_exit(sig, frame)


if __name__ == "__main__":
    sys.exit(main())
