"""Celery's side of the worker: the task `process_task`, the consumer, and the signals of the process's life.

A ticket's message is acknowledged after its task's end is stored. A message that is lost, or comes twice, changes
nothing: the task's document decides.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, Task, bootsteps, signals

from app.broker.celery_config import PROCESS_TASK, build_celery
from app.settings import Settings
from app.telemetry.logs import get_logger
from worker.runtime import Runtime

HUB_TICK_SECONDS = 1.0  # far more often than worker.vitals.STALL_SECONDS, so that one late tick is no stall

_log = get_logger(__name__)


class ProcessTask(Task):  # type: ignore[misc]  # Celery has no types
    """The task `process_task(task_id)`, whose messages are tickets. `runtime` is set before the worker starts."""

    name = PROCESS_TASK
    ignore_result = True
    acks_late = True
    runtime: Runtime

    def run(self, *arguments: object, **_: object) -> None:
        """Runs the task of a ticket; drops a message whose first argument is no id. More arguments are ignored."""
        # A newer version may add arguments; a message of another product, or a broken one, must not keep a slot.
        task_id = arguments[0] if arguments else None
        if isinstance(task_id, str):
            self.runtime.run(task_id, ticket_id=self.request.id)
        else:
            _log.warning("ticket_not_understood", ticket_id=self.request.id)
            self.runtime.drop_ticket(self.request.id)


class QueueConsumer:
    """Celery's consumer. Implements `worker.consumption.TicketConsumer`; only the hub's own thread changes it.

    A change that is made on a connection which then breaks is lost, so `apply` is called again at each tick of the hub.
    """

    def __init__(self, consumer: Any, queue: str) -> None:
        self._consumer = consumer
        self._queue = queue
        self._wanted = True

    def pause(self) -> None:
        self._wanted = False
        self._consumer.call_soon(self.apply)

    def resume(self) -> None:
        self._wanted = True
        self._consumer.call_soon(self.apply)

    def apply(self) -> None:
        """Makes Celery fetch tickets, or stop fetching, as last requested. For the hub's thread."""
        consumer = self._consumer
        if consumer.task_consumer is None:
            return  # between two connections
        fetching = bool(consumer.task_consumer.consuming_from(self._queue))
        if self._wanted and not fetching:
            # Cancelling has taken the queue out of those that the next connection consumes from.
            consumer.app.amqp.queues.select(self._queue)
            consumer.add_task_queue(self._queue)
        elif fetching and not self._wanted:
            consumer.cancel_task_queue(self._queue)


def build_worker_app(settings: Settings, runtime: Runtime) -> Celery:
    """Builds the Celery application with its one task, bound to the runtime."""
    app = build_celery(settings.broker, settings.execution)
    task = ProcessTask()
    task.runtime = runtime
    app.register_task(task)
    app.steps["consumer"].add(_hub_step(settings.broker.queue, runtime))
    # Otherwise each thread of the pool loads the backend's class for itself, which takes 5 ms a thread.
    task.backend = app.backend

    def record_ticket(request: Any, **_: object) -> None:
        runtime.record_ticket(request.id)

    def drain(**_: object) -> None:
        runtime.drain()

    def keep_our_logging(**_: object) -> None:
        """Does nothing: Celery configures logging itself only if this signal has no receiver."""

    # Not weak: these functions are referenced from nowhere else and would be collected.
    signals.setup_logging.connect(keep_our_logging, weak=False)
    signals.task_received.connect(record_ticket, weak=False)
    signals.worker_shutting_down.connect(drain, weak=False)
    return app


def _hub_step(queue: str, runtime: Runtime) -> type[Any]:
    """Builds the step of Celery's consumer that makes the hub tick and attaches the consumer to the runtime."""

    class HubStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, parent: Any, **options: Any) -> None:
            super().__init__(parent, **options)
            self._consumer: QueueConsumer | None = None
            self._timer: Any = None

        def start(self, parent: Any) -> None:
            """Starts the tick, for each connection anew."""
            if self._consumer is None:
                self._consumer = QueueConsumer(parent, queue)
                runtime.attach(self._consumer)
            # Celery clears the hub's timers when a connection breaks; a hub without its tick would count as stalled.
            if self._timer is not None:
                self._timer.cancel()
            self._timer = parent.hub.call_repeatedly(HUB_TICK_SECONDS, self._tick, self._consumer)

        def _tick(self, consumer: QueueConsumer) -> None:
            runtime.record_hub_tick()
            consumer.apply()

    return HubStep


def worker_arguments(settings: Settings, *, hostname: str) -> list[str]:
    """Builds the arguments of `celery worker`: threads, the one queue, no messages between workers."""
    return [
        "--quiet",
        "worker",
        "--pool=threads",  # a thread only waits for the event loop; a process for each slot would take 100 MB
        f"--concurrency={settings.worker.concurrency}",
        f"--queues={settings.broker.queue}",
        f"--hostname={hostname}",
        "--without-gossip",
        "--without-mingle",
    ]
