"""Celery's side of the worker: `process_task`, and the signals of its life.

A ticket's message is acknowledged after its task's end is stored. Losing it, or getting it twice, changes nothing.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, Task, bootsteps, signals

from app.broker.celery_config import PROCESS_TASK, build_celery
from app.settings import Settings
from app.telemetry.logs import get_logger
from worker.runtime import Runtime

HUB_TICK_SECONDS = 1.0

_log = get_logger(__name__)


class ProcessTask(Task):  # type: ignore[misc]  # Celery has no types
    """`process_task(task_id)`: a ticket. `runtime` is set before the worker starts."""

    name = PROCESS_TASK
    ignore_result = True
    acks_late = True
    runtime: Runtime

    def run(self, *arguments: object, **_: object) -> None:
        """Runs the task; a message whose first argument is no id is none of ours. A newer version may add arguments."""
        task_id = arguments[0] if arguments else None
        if isinstance(task_id, str):
            self.runtime.run(task_id, ticket_id=self.request.id)
        else:
            _log.warning("ticket_not_understood", ticket_id=self.request.id)
            self.runtime.let_go(self.request.id)


class QueueConsumer:
    """Implements `worker.consumption.Consuming`: Celery's consumer, told in its own thread what to do.

    Connections come and go, and what is told to one that breaks is lost; so `settle` is called again and again.
    """

    def __init__(self, consumer: Any, queue: str) -> None:
        self._consumer = consumer
        self._queue = queue
        self._wanted = True

    def pause(self) -> None:
        self._wanted = False
        self._consumer.call_soon(self.settle)

    def resume(self) -> None:
        self._wanted = True
        self._consumer.call_soon(self.settle)

    def settle(self) -> None:
        """Makes Celery fetch, or not, as it was last told. For the hub's thread."""
        consumer = self._consumer
        if consumer.task_consumer is None:
            return  # between two connections
        fetching = bool(consumer.task_consumer.consuming_from(self._queue))
        if self._wanted and not fetching:
            consumer.app.amqp.queues.select(self._queue)  # without it, the next connection would fetch nothing
            consumer.add_task_queue(self._queue)
        elif fetching and not self._wanted:
            consumer.cancel_task_queue(self._queue)


def build_worker_app(settings: Settings, runtime: Runtime) -> Celery:
    """The Celery application with the one task it has, bound to the runtime."""
    app = build_celery(settings.broker, settings.execution)
    task = ProcessTask()
    task.runtime = runtime
    app.register_task(task)
    app.steps["consumer"].add(_hub_step(settings.broker.queue, runtime))
    task.backend = app.backend  # else each of the pool's threads looks the backend's class up for itself, 5 ms a thread

    def note_reserved(request: Any, **_: object) -> None:
        runtime.reserve(request.id)

    def note_shutdown(**_: object) -> None:
        runtime.drain()

    def keep_our_logging(**_: object) -> None:
        """Celery configures logging only where nobody listens to this signal."""

    signals.setup_logging.connect(keep_our_logging, weak=False)
    signals.task_received.connect(note_reserved, weak=False)
    signals.worker_shutting_down.connect(note_shutdown, weak=False)
    return app


def _hub_step(queue: str, runtime: Runtime) -> type[Any]:
    """A step of Celery's consumer that has the hub tick, and hands over what fetches tickets."""

    class HubStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, parent: Any, **options: Any) -> None:
            super().__init__(parent, **options)
            self._consumer: QueueConsumer | None = None
            self._timer: Any = None

        def start(self, parent: Any) -> None:
            """For every connection anew: Celery clears the hub's timers when one breaks."""
            if self._consumer is None:
                self._consumer = QueueConsumer(parent, queue)
                runtime.control(self._consumer)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = parent.hub.call_repeatedly(HUB_TICK_SECONDS, self._tick, self._consumer)

        def _tick(self, consumer: QueueConsumer) -> None:
            runtime.hub_ticked()
            consumer.settle()

    return HubStep


def worker_arguments(settings: Settings, *, hostname: str) -> list[str]:
    """Arguments of `celery worker`: threads, the one queue, no chatter between workers."""
    return [
        "--quiet",
        "worker",
        "--pool=threads",
        f"--concurrency={settings.worker.concurrency}",
        f"--queues={settings.broker.queue}",
        f"--hostname={hostname}",
        "--without-gossip",
        "--without-mingle",
    ]
