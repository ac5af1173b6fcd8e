"""Celery's side of the worker: `process_task`, and the signals of its life.

A ticket's message is acknowledged after its task's end is stored. Losing it, or getting it twice, changes nothing.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, Task, signals

from app.broker.celery_app import PROCESS_TASK, build_celery
from app.settings import Settings
from worker.runtime import Runtime


class ProcessTask(Task):  # type: ignore[misc]  # Celery has no types
    """`process_task(task_id)`: a ticket. `runtime` is set before the worker starts."""

    name = PROCESS_TASK
    ignore_result = True
    acks_late = True
    runtime: Runtime

    def run(self, task_id: str) -> None:
        self.runtime.begin(task_id)
        self.runtime.run(task_id)


def build_worker_app(settings: Settings, runtime: Runtime) -> Celery:
    """The Celery application with the one task it has, bound to the runtime."""
    app = build_celery(settings.broker, settings.execution)
    task = ProcessTask()
    task.runtime = runtime
    app.register_task(task)
    task.backend = app.backend  # else each of the pool's threads looks the backend's class up for itself, 5 ms a thread

    def note_reserved(request: Any, **_: object) -> None:
        runtime.reserve(request.args[0])

    def note_shutdown(**_: object) -> None:
        runtime.drain()

    def keep_our_logging(**_: object) -> None:
        """Celery configures logging only where nobody listens to this signal."""

    signals.setup_logging.connect(keep_our_logging, weak=False)
    signals.task_received.connect(note_reserved, weak=False)
    signals.worker_shutting_down.connect(note_shutdown, weak=False)
    return app


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
