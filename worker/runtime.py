"""The runtime: one event loop in one thread, and the tickets that Celery's threads have in hand.

Celery's pool threads hand a ticket over and wait; the work itself is asyncio, so that hundreds of tasks share a
process. The loop outlives every task, because pooled HTTP clients end with their loop. `worker.assembly` wires the
parts that live on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import uuid
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import uvloop

from app import __version__
from app.domain.identity import TaskId
from app.settings import Settings
from app.system_clock import SystemClock
from app.telemetry.logs import get_logger
from app.telemetry.metrics import WorkerMetrics
from app.telemetry.tracing import Tracing
from worker.assembly import Assembly, GatewayFactory, WorkerProcess, assembled
from worker.consumption import TicketConsumer
from worker.probe_server import ProbeServer
from worker.vitals import LoopWatchdog, Vitals

STOP_SECONDS = 10.0
Result = TypeVar("Result")

_log = get_logger(__name__)


class EventLoopThread:
    """An event loop that runs in a thread of its own, from construction until closed."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="runtime", daemon=True)
        self._thread.start()

    @property
    def ident(self) -> int | None:
        return self._thread.ident

    def call(self, coroutine: Coroutine[Any, Any, Result]) -> Future[Result]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=STOP_SECONDS)


class Runtime:
    """The worker behind Celery. Starts on construction.

    `run` is called from pool threads, `drain` and `close` from the main thread.
    """

    def __init__(self, settings: Settings, *, make_gateway: GatewayFactory) -> None:
        """Opens everything. Raises ConfigurationError; what was opened until then is closed."""
        name = settings.worker.name or socket.gethostname()
        # A new id for each start: a lease of an earlier process of the same pod must not be taken for one of ours.
        self.worker_id = f"{name}-{uuid.uuid4().hex[:8]}"
        self._grace_seconds = settings.worker.grace_seconds
        self._tickets: set[str] = set()
        self._vitals = Vitals(SystemClock())
        metrics = WorkerMetrics(version=__version__)
        metrics.tasks.slots.set(settings.worker.concurrency)
        with contextlib.ExitStack() as opening:
            tracing = Tracing(settings.process, process="worker", version=__version__)
            opening.callback(tracing.close)
            self._loop = opening.enter_context(contextlib.closing(EventLoopThread()))
            process = WorkerProcess(
                worker_id=self.worker_id,
                name=name,
                metrics=metrics,
                tracing=tracing,
                clock=SystemClock(),
                vitals=self._vitals,
                fetched=self._fetched,
            )
            self._assembly = self._enter(opening, assembled(settings, process, make_gateway=make_gateway))
            watchdog = LoopWatchdog(self._vitals, watched=lambda: self._loop.ident)
            opening.callback(watchdog.close)
            probe = ProbeServer(
                settings.worker.metrics_host,
                settings.worker.metrics_port,
                metrics=metrics,
                signs=self._assembly.self_check.signs,
                ready=self._assembly.ready,
            )
            opening.callback(probe.close)
            self._opened = opening.pop_all()
        _log.info("worker_started", worker_id=self.worker_id, slots=settings.worker.concurrency)

    def _enter(
        self, opening: contextlib.ExitStack, opened: contextlib.AbstractAsyncContextManager[Assembly]
    ) -> Assembly:
        """Opens the assembly on the event loop, and lets `opening` close it there."""
        stack = contextlib.AsyncExitStack()
        assembly = self._loop.call(stack.enter_async_context(opened)).result()
        # A server that does not answer must not keep the process from ending.
        opening.callback(lambda: self._loop.call(stack.aclose()).result(timeout=STOP_SECONDS))
        return assembly

    def record_ticket(self, ticket_id: str) -> None:
        """Records a ticket that was fetched. Called from the hub's thread."""
        self._tickets.add(ticket_id)

    def run(self, task_id: str, *, ticket_id: str) -> None:
        """Runs the task of a fetched ticket; blocks the calling thread until its end is stored."""
        try:
            self._loop.call(self._assembly.executor.run(TaskId(task_id))).result()
        finally:
            self.drop_ticket(ticket_id)

    def drop_ticket(self, ticket_id: str) -> None:
        """Forgets a ticket that was fetched. If its task still waits, the leader finds it without a ticket."""
        self._tickets.discard(ticket_id)

    def record_hub_tick(self) -> None:
        """Records that Celery's hub is alive; the hub calls this about once a second."""
        self._vitals.record_hub_tick()

    def attach(self, consumer: TicketConsumer) -> None:
        """Hands over Celery's consumer, which may be paused from now on."""
        self._loop.loop.call_soon_threadsafe(self._assembly.consumption.attach, consumer)

    def drain(self) -> None:
        """Reports that no more tickets are fetched; after the grace, runs are handed back at their next node."""
        loop = self._loop.loop
        loop.call_soon_threadsafe(self._assembly.draining.stop)
        # `call_later` is not safe to call from another thread, so the loop calls it.
        loop.call_soon_threadsafe(loop.call_later, self._grace_seconds, self._assembly.leases.hand_back_all)

    def close(self) -> None:
        """Closes everything in reverse order of opening. Runs have ended by then.

        The probe and the watchdog go first, because they watch a loop that is about to stop. Tracing goes last, because
        it sends the spans of everything that ran on the loop.
        """
        self._opened.close()
        _log.info("worker_stopped", worker_id=self.worker_id)

    def _fetched(self) -> frozenset[TaskId]:
        """Returns the tasks of all tickets in hand: waiting for a thread, being claimed, or running."""
        # `list` copies the set in one step; a loop over it would fail when another thread adds a ticket meanwhile.
        return frozenset(TaskId(ticket_id.partition(":")[0]) for ticket_id in list(self._tickets))
