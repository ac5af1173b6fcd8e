"""The composition root of the operator: wires the parts, and runs them from the first checks to the graceful stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import kopf

from agent_operator.agenttasks.expiry import Expiry
from agent_operator.agenttasks.mirror import Mirror
from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.agenttasks.reconcile import Reconciler
from agent_operator.agenttasks.reconcile_loop import ReconcileLoop
from agent_operator.agenttasks.register import Register
from agent_operator.agenttasks.shift_loop import ShiftLoop
from agent_operator.agenttasks.shifts import Shifts
from agent_operator.agenttasks.status_writer import StatusWriter
from agent_operator.agenttasks.survey import EVERY_SECONDS, Survey
from agent_operator.agenttasks.watch import watch_registry, watch_settings
from agent_operator.agenttasks.workqueue import WorkQueue
from agent_operator.autoscaler.decision_log import DecisionLog
from agent_operator.autoscaler.figures import FigureReader
from agent_operator.autoscaler.fleet import Deployment
from agent_operator.autoscaler.loop import Autoscaler
from agent_operator.autoscaler.policy import Policy, WrongPolicy, pairs
from agent_operator.health.probe import serving_probe
from agent_operator.health.pulse import Pulse
from agent_operator.kube.access import ClusterAccess
from agent_operator.kube.cluster import Cluster, ClusterError, ClusterUnavailable, NotAllowed, NotThere
from agent_operator.kube.events import EventRecorder
from agent_operator.kube.leases import Leases
from agent_operator.rest.backpressure import Backpressure
from agent_operator.rest.rest_client import RestClient, ServiceKey, open_session
from app import __version__
from app.background import Duty, running_duties
from app.broker.channels import KICK_CHANNEL
from app.broker.connections import connect_for_commands, connect_for_listening, listen
from app.errors import ConfigurationError
from app.ports import Clock
from app.settings import BrokerSettings, OperatorSettings
from app.system_clock import SystemClock
from app.telemetry.logs import get_logger
from app.telemetry.metrics import OperatorMetrics

# How long the start waits for an API server that is unavailable. After that the process ends with the reason.
CHECK_SECONDS = 60.0
CHECK_PAUSE_SECONDS = 2.0
STOP_SECONDS = 5.0
# For kopf's peering, which is off. Without it kopf calls getpass.getuser(), which fails for a user id without a name,
# and containers may run under any user id.
IDENTITY: Any = "agent-operator"

Found = TypeVar("Found")

_log = get_logger(__name__)


@dataclass(frozen=True)
class Assembly:
    """The parts of the operator that run or are needed by others. `duties` run beside the watch, by name.

    `reconcile_loop` and `registry` are None if other releases hold all namespaces: then there is nothing to watch.
    """

    duties: dict[str, Duty]
    rest: RestClient
    cluster: Cluster
    pulse: Pulse
    metrics: OperatorMetrics
    reconcile_loop: ReconcileLoop | None = None
    registry: kopf.OperatorRegistry | None = None


async def operate(settings: OperatorSettings, broker: BrokerSettings) -> None:
    """Runs until SIGTERM or SIGINT. Raises ConfigurationError if the operator can never work with these settings."""
    watching, clock = watch_settings(), SystemClock()
    async with AsyncExitStack() as stack:
        # Two more for the watches on the workers' Deployment and pods.
        access = ClusterAccess(watching, clock, watches=max(1, len(settings.namespaces)) + 2)
        stack.push_async_callback(access.close)
        session = await stack.enter_async_context(open_session(settings.api_url))
        value = settings.api_key.get_secret_value() if settings.api_key is not None else ""
        rest = RestClient(session, ServiceKey(value, settings.api_key_file, clock))
        objects = await _checked(AgentTasks(Cluster(access), settings.namespaces, settings.finalizer).check, clock)
        shifts = Shifts(Leases(objects.cluster, settings.identity), clock)
        served = await _checked(lambda: shifts.begin_all(objects.namespaces), clock)
        assembly = assemble(
            access,
            replace(objects, namespaces=served),
            rest,
            shifts=shifts,
            clock=clock,
            cluster_name=settings.cluster_name or access.cluster_name,
            waiting_for=tuple(sorted(set(settings.namespaces) - set(objects.namespaces))),
        )
        if settings.worker_deployment is not None:
            add_autoscaler(assembly, settings, broker, clock=clock)
        await stack.enter_async_context(
            serving_probe(settings.host, settings.port, metrics=assembly.metrics, pulse=assembly.pulse)
        )
        await _run(assembly, watching, served)


def assemble(
    access: ClusterAccess,
    objects: AgentTasks,
    rest: RestClient,
    *,
    shifts: Shifts,
    clock: Clock,
    cluster_name: str,
    waiting_for: tuple[str, ...] = (),
) -> Assembly:
    """Wires the parts. Opens nothing. `waiting_for` are namespaces that cannot be listed yet."""
    process, pulse = OperatorMetrics(version=__version__), Pulse(clock)
    metrics = process.agenttasks
    events = EventRecorder(objects.cluster, metrics, clock)
    shift_loop = ShiftLoop(shifts, events, metrics, pulse)
    pulse.watch("shifts")
    duties: dict[str, Duty] = {"shifts": shift_loop.run, "events": events.run}
    if shifts.namespaces and not objects.namespaces:
        return Assembly(duties, rest, objects.cluster, pulse, process)
    register, work = Register(clock), WorkQueue()
    writer = StatusWriter(objects, clock, metrics)
    expiry = Expiry(objects, clock, metrics, pulse, horizon=timedelta(seconds=2 * EVERY_SECONDS))
    mirror = Mirror(rest, register, writer, events, work, clock, metrics, pulse, cluster_name)
    survey = Survey(objects, rest, register, expiry, work, clock, pulse, metrics, cluster_name, shifts, waiting_for)
    reconciler = Reconciler(
        objects, rest, register, writer, events, expiry, Backpressure(clock), clock, metrics, cluster_name, shifts
    )
    reconcile_loop = ReconcileLoop(reconciler, register, work, metrics=metrics, pulse=pulse)
    # The survey beats only while it works, and rests for EVERY_SECONDS between two rounds.
    pulse.watch("survey", silent_seconds=2 * EVERY_SECONDS)
    pulse.watch("resync", silent_seconds=300)
    for duty in ("mirror", "mirror_writes", "reconcile_loop", "expiry"):
        pulse.watch(duty)
    duties |= {
        "reconcile_loop": reconcile_loop.run,
        "mirror": mirror.follow,
        "mirror_writes": mirror.write,
        "resync": mirror.resync,
        "survey": survey.run,
        "expiry": expiry.run,
    }
    registry = watch_registry(access, register, work, on_event=metrics.operator_watch_events.inc)
    return Assembly(duties, rest, objects.cluster, pulse, process, reconcile_loop, registry)


def add_autoscaler(assembly: Assembly, settings: OperatorSettings, broker: BrokerSettings, *, clock: Clock) -> None:
    """Adds the duties that scale the workers; none if the policy cannot be used, which must not stop AgentTasks."""
    namespace, _, name = (settings.worker_deployment or "").partition("/")
    try:
        policy = Policy.of(pairs(settings.autoscaler_policy))
    except WrongPolicy as error:
        problem = f"AGENT_AUTOSCALER_POLICY: {'; '.join(str(error).splitlines())}; nothing scales the workers"
        _log.error("autoscaler_off", problem=problem)
        assembly.pulse.problems.append(problem)
        assembly.metrics.autoscaler.autoscaler_refused.set(1)
        return
    # A recorder of its own: a flood of AgentTasks must not take the room of the autoscaler's few events.
    events = EventRecorder(assembly.cluster, assembly.metrics.agenttasks, clock)
    decisions = DecisionLog(assembly.rest, clock, f"{namespace}/{name}")
    autoscaler = Autoscaler(
        Deployment(assembly.cluster, namespace, name),
        FigureReader(
            connect_for_commands(broker.redis_url), connect_for_commands(broker.tickets_url), queue=broker.queue
        ),
        assembly.rest,
        events,
        decisions,
        policy=policy,
        clock=clock,
        metrics=assembly.metrics.autoscaler,
        pulse=assembly.pulse,
    )
    listening = connect_for_listening(broker.redis_url)
    assembly.pulse.watch("autoscaler")
    assembly.duties["autoscaler"] = autoscaler.run
    assembly.duties["fleet_watch"] = autoscaler.fleet_watch.run
    assembly.duties["decisions"] = decisions.deliver
    assembly.duties["autoscaler_events"] = events.run
    assembly.duties["kicks"] = lambda: autoscaler.listen(listen(listening, KICK_CHANNEL))


async def _run(assembly: Assembly, watching: kopf.OperatorSettings, namespaces: tuple[str, ...]) -> None:
    async with AsyncExitStack() as duties:
        await duties.enter_async_context(running_duties(assembly.duties))
        if assembly.registry is None:
            _log.info("operator_started", namespaces=[])
            await _wait_for_stop()
        else:
            await _watch(assembly.registry, assembly, watching, namespaces, duties)
    _log.info("operator_stopped")


async def _watch(
    registry: kopf.OperatorRegistry,
    assembly: Assembly,
    watching: kopf.OperatorSettings,
    namespaces: tuple[str, ...],
    duties: AsyncExitStack,
) -> None:
    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        """Ends the duties after the watch and before kopf: the reconciles under way finish first."""
        if assembly.reconcile_loop is not None:
            await assembly.reconcile_loop.close(grace_seconds=STOP_SECONDS)
        # kopf takes all asyncio tasks that started after it for its own, those of the duties included. It waits
        # five seconds for tasks that still run after this handler, and every stop would take that much longer.
        await duties.aclose()

    _log.info("operator_started", namespaces=list(namespaces) or "all")
    await kopf.operator(
        registry=registry, settings=watching, clusterwide=not namespaces, namespaces=namespaces, identity=IDENTITY
    )


async def _wait_for_stop() -> None:
    """Waits for SIGTERM or SIGINT, as kopf does while it watches."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


async def _checked(check: Callable[[], Awaitable[Found]], clock: Clock) -> Found:
    """Returns what the check finds. Waits for an API server that is unavailable. Raises ConfigurationError.

    Without the CRD or the rights kopf would run and never see an object, and the probe would report a healthy operator.
    """
    give_up_at = clock.monotonic() + CHECK_SECONDS
    while True:
        try:
            return await check()
        except NotThere as error:
            message = f"The CRD of AgentTask is not installed ({error}): apply charts/agent-orchestrator/files/crds"
            raise ConfigurationError(message) from error
        except NotAllowed as error:
            raise ConfigurationError(f"This account may not list AgentTasks: {error}") from error
        except ClusterUnavailable as error:
            if clock.monotonic() > give_up_at:
                raise ConfigurationError(f"The Kubernetes API cannot be reached: {error}") from error
            _log.warning("cluster_unavailable", reason=error.reason)
            await asyncio.sleep(CHECK_PAUSE_SECONDS)
        except ClusterError as error:
            raise ConfigurationError(f"The Kubernetes API refuses the operator's first requests: {error}") from error
