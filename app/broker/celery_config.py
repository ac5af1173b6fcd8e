"""The Celery application: a carrier of tickets, nothing more.

A ticket may be lost or come twice; the task document decides. So no results, no retries, no ETA, no rate limits of
Celery's are used. The numbers are the design's; `visibility_timeout` must exceed twice the longest task, or a running
task's ticket would come again for nothing.
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from celery import Celery

from app.errors import ConfigurationError
from app.settings import BrokerSettings, ExecutionSettings

PROCESS_TASK = "process_task"
VISIBILITY_SECONDS = 3600


def build_celery(broker: BrokerSettings, execution: ExecutionSettings, *, publisher: bool = False) -> Celery:
    """The application for a worker, or with short timeouts for a `publisher`.

    Raises ConfigurationError where a task could outlast its ticket.
    """
    visibility_seconds = max(VISIBILITY_SECONDS, 2 * execution.deadline_seconds + 300)
    url = broker.tickets_url.get_secret_value()
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ConfigurationError("REDIS_URL and CELERY_BROKER_URL must begin with redis://, rediss:// or unix://")
    backend = _verified(broker.celery_result_backend.get_secret_value()) if broker.celery_result_backend else None
    app = Celery("agent_orchestrator", broker=_verified(url), backend=backend, set_as_current=False)
    app.conf.update(
        task_default_queue=broker.queue,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        task_ignore_result=True,
        worker_send_task_events=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_pool_limit=2 if publisher else 10,
        broker_transport_options={
            "visibility_timeout": visibility_seconds,
            "unacked_restore_interval": 5,
            "unacked_restore_limit": 500,
            "socket_timeout": 1 if publisher else 10,
            "socket_connect_timeout": 1 if publisher else 3,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "max_connections": 32,
        },
    )
    return app


def _verified(url: str) -> str:
    """With TLS, certificates are verified unless the URL says otherwise: without a word, Celery takes any."""
    address = urlsplit(url)
    if address.scheme != "rediss" or "ssl_cert_reqs" in parse_qs(address.query):
        return url
    return address._replace(query=f"{address.query}&ssl_cert_reqs=required".lstrip("&")).geturl()
