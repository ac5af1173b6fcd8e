"""The running operator: everything wired together, from the start-up checks to the graceful stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import kopf

from agent_operator.agenttasks.expiry import Expiry
from agent_operator.agenttasks.mirror import Mirror
from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.agenttasks.reconcile import Reconciler
from agent_operator.agenttasks.reconcile_loop import Workers
from agent_operator.agenttasks.register import Register
from agent_operator.agenttasks.status_writer import StatusWriter
from agent_operator.agenttasks.survey import EVERY_SECONDS, Survey
from agent_operator.agenttasks.watch import watch_registry, watch_settings
from agent_operator.agenttasks.workqueue import WorkQueue
from agent_operator.autoscaler.decision_log import Decisions
from agent_operator.autoscaler.figures import FigureReader
from agent_operator.autoscaler.fleet import Deployment
from agent_operator.autoscaler.loop import Autoscaler
from agent_operator.autoscaler.policy import Policy, WrongPolicy, pairs
from agent_operator.health.probe import serving_probe
from agent_operator.health.pulse import Pulse
from agent_operator.kube.access import ClusterAccess
from agent_operator.kube.cluster import Cluster, ClusterAway, ClusterError, NotAllowed, NotThere
from agent_operator.kube.events import EventRecorder
from agent_operator.rest.backpressure import Gate
from agent_operator.rest.rest_client import Key, Orchestrator, open_session
from app import __version__
from app.background import keep_running
from app.broker.channels import KICK_CHANNEL
from app.broker.connections import connect_for_commands, connect_for_listening, listen
from app.errors import ConfigurationError
from app.settings import BrokerSettings, OperatorSettings
from app.system_clock import SystemClock
from app.telemetry.logs import get_logger
from app.telemetry.metrics import OperatorMetrics

CHECK_SECONDS = 60.0
CHECK_PAUSE_SECONDS = 2.0
STOP_SECONDS = 5.0
# For kopf's peering, which is off; left out, kopf asks for a user's name, and an arbitrary user id has none.
IDENTITY: Any = "agent-operator"

_log = get_logger(__name__)


@dataclass(frozen=True)
class Operation:
    """What runs, by name, beside the watch; and what is to finish before the end."""

    duties: dict[str, Callable[[], Awaitable[None]]]
    workers: Workers
    orchestrator: Orchestrator
    cluster: Cluster
    registry: kopf.OperatorRegistry
    pulse: Pulse
    metrics: OperatorMetrics


async def operate(settings: OperatorSettings, broker: BrokerSettings) -> None:
    """Runs until SIGTERM or SIGINT. Raises ConfigurationError where it can never work as it is set up."""
    watching = watch_settings()
    async with AsyncExitStack() as stack:
        access = ClusterAccess(watching, watches=len(settings.namespaces))
        stack.push_async_callback(access.close)
        session = await stack.enter_async_context(open_session(settings.api_url))
        value = settings.api_key.get_secret_value() if settings.api_key is not None else ""
        orchestrator = Orchestrator(session, Key(value, settings.api_key_file))
        objects = AgentTasks(Cluster(access), settings.namespaces)
        await _check(objects)
        operation = assemble(access, objects, orchestrator, cluster_name=settings.cluster_name or access.cluster_name)
        if settings.worker_deployment is not None:
            add_autoscaler(operation, settings, broker)
        await stack.enter_async_context(
            serving_probe(settings.host, settings.port, metrics=operation.metrics, pulse=operation.pulse)
        )
        await _run(operation, watching, settings.namespaces)


def assemble(access: ClusterAccess, objects: AgentTasks, orchestrator: Orchestrator, *, cluster_name: str) -> Operation:
    """Wires the parts. Opens nothing."""
    process, pulse, clock = OperatorMetrics(version=__version__), Pulse(), SystemClock()
    metrics = process.agenttasks
    register, work = Register(), WorkQueue()
    events = EventRecorder(objects.cluster, metrics)
    writer = StatusWriter(objects, clock, metrics)
    expiry = Expiry(objects, clock, metrics, pulse, horizon=timedelta(seconds=2 * EVERY_SECONDS))
    mirror = Mirror(orchestrator, register, writer, events, work, metrics, pulse, cluster_name)
    survey = Survey(objects, orchestrator, register, expiry, work, clock, pulse, cluster_name)
    reconciler = Reconciler(
        objects, orchestrator, register, writer, events, expiry, Gate(), clock, metrics, cluster_name
    )
    workers = Workers(reconciler, register, work, metrics=metrics, pulse=pulse)
    pulse.watch("survey", silent_seconds=2 * EVERY_SECONDS)
    pulse.watch("resync", silent_seconds=300)
    for duty in ("mirror", "mirror_writes", "workers", "expiry"):
        pulse.watch(duty)
    return Operation(
        duties={
            "workers": workers.run,
            "mirror": mirror.follow,
            "mirror_writes": mirror.write,
            "resync": mirror.resync,
            "survey": survey.run,
            "expiry": expiry.run,
            "events": events.run,
        },
        workers=workers,
        orchestrator=orchestrator,
        cluster=objects.cluster,
        registry=watch_registry(access, register, work, noted=metrics.operator_watch_events.inc),
        pulse=pulse,
        metrics=process,
    )


def add_autoscaler(operation: Operation, settings: OperatorSettings, broker: BrokerSettings) -> None:
    """Has the operator scale the workers, too. Raises ConfigurationError."""
    namespace, _, name = (settings.worker_deployment or "").partition("/")
    try:
        policy = Policy.of(pairs(settings.autoscaler_policy))
    except WrongPolicy as error:
        raise ConfigurationError(f"AGENT_AUTOSCALER_POLICY: {error}") from error
    events = EventRecorder(operation.cluster, operation.metrics.agenttasks)  # a flood of tasks leaves these their room
    decisions = Decisions(operation.orchestrator, SystemClock(), f"{namespace}/{name}")
    autoscaler = Autoscaler(
        Deployment(operation.cluster, namespace, name),
        FigureReader(
            connect_for_commands(broker.redis_url), connect_for_commands(broker.tickets_url), queue=broker.queue
        ),
        operation.orchestrator,
        events,
        decisions,
        policy=policy,
        metrics=operation.metrics.autoscaler,
        pulse=operation.pulse,
    )
    listening = connect_for_listening(broker.redis_url)
    operation.pulse.watch("autoscaler")
    operation.duties["autoscaler"] = autoscaler.run
    operation.duties["decisions"] = decisions.hand_in
    operation.duties["autoscaler_events"] = events.run
    operation.duties["kicks"] = lambda: autoscaler.hear(listen(listening, KICK_CHANNEL))


async def _run(operation: Operation, watching: kopf.OperatorSettings, namespaces: tuple[str, ...]) -> None:
    duties = [asyncio.create_task(keep_running(name, duty), name=name) for name, duty in operation.duties.items()]

    @kopf.on.cleanup(registry=operation.registry)
    async def stop(**_: Any) -> None:
        """When the watch has ended; tasks that still run when this is over are kopf's to end, which takes it longer."""
        await operation.workers.close(patience_seconds=STOP_SECONDS)
        for duty in duties:
            duty.cancel()
        await asyncio.gather(*duties, return_exceptions=True)

    _log.info("operator_started", namespaces=list(namespaces) or "all")
    await kopf.operator(
        registry=operation.registry,
        settings=watching,
        clusterwide=not namespaces,
        namespaces=namespaces,
        identity=IDENTITY,
    )
    _log.info("operator_stopped")


async def _check(objects: AgentTasks) -> None:
    """Without the CRD or the rights there would be nothing to see, for ever: better not to start at all."""
    give_up_at = time.monotonic() + CHECK_SECONDS
    while True:
        try:
            await objects.check()
        except NotThere as error:
            message = f"The CRD of AgentTask is not installed ({error}): apply charts/agent-orchestrator/files/crds"
            raise ConfigurationError(message) from error
        except NotAllowed as error:
            raise ConfigurationError(f"This account may not list AgentTasks: {error}") from error
        except ClusterAway as error:
            if time.monotonic() > give_up_at:
                raise ConfigurationError(f"The Kubernetes API cannot be reached: {error}") from error
            _log.warning("cluster_away", reason=error.reason)
            await asyncio.sleep(CHECK_PAUSE_SECONDS)
        except ClusterError as error:
            raise ConfigurationError(f"The Kubernetes API refuses: {error}") from error
        else:
            return
