"""The Celery application: a carrier of tickets, nothing more.

A ticket may be lost or delivered twice; the task document decides. So Celery's results, retries, ETA and rate limits
are not used.
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from celery import Celery

from app.settings import BrokerSettings, ExecutionSettings

PROCESS_TASK = "process_task"
# Redis hands a ticket out again after this time. It must exceed twice the longest task: the ticket of a task that still
# runs would be delivered again for nothing, because the claim refuses it (Celery #5935).
VISIBILITY_SECONDS = 3600


def build_celery(broker: BrokerSettings, execution: ExecutionSettings, *, publisher: bool = False) -> Celery:
    """Builds the application for a worker, or with short timeouts for a `publisher`."""
    visibility_seconds = max(VISIBILITY_SECONDS, 2 * execution.deadline_seconds + 300)
    url = broker.tickets_url.get_secret_value()
    backend = _verified(broker.celery_result_backend.get_secret_value()) if broker.celery_result_backend else None
    app = Celery("agent_orchestrator", broker=_verified(url), backend=backend, set_as_current=False)
    app.conf.update(
        task_default_queue=broker.queue,
        # A ticket is acknowledged after its run, so that it comes again if the worker is lost before.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # A prefetched ticket waits behind a long task while another worker is idle.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        task_ignore_result=True,
        worker_send_task_events=False,
        # Nobody controls workers this way, but the mailbox is always read: if Redis breaks while no slot is free, its
        # connection alone shows it. Without it a worker that then failed to acknowledge fetched no ticket any more.
        worker_enable_remote_control=True,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # An error that Redis replies with is one of the channel: it is full, has too few replicas, cannot save, or has
        # become a replica. A worker that ended for it would end again at each start.
        broker_channel_error_retry=True,
        # A run does not depend on its ticket: it goes on while Redis is unavailable, and its claim keeps it single.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_pool_limit=2 if publisher else 10,
        broker_transport_options={
            "visibility_timeout": visibility_seconds,
            "unacked_restore_interval": 5,
            "unacked_restore_limit": 500,
            # A publisher gives up early: the dispatcher finds a ticket that was not sent, and sends it again.
            "socket_timeout": 1 if publisher else 10,
            "socket_connect_timeout": 1 if publisher else 3,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "max_connections": 32,
        },
    )
    return app


def _verified(url: str) -> str:
    """Adds the verification of certificates to a TLS URL that does not decide about it: Celery's default is none."""
    address = urlsplit(url)
    if address.scheme != "rediss" or "ssl_cert_reqs" in parse_qs(address.query):
        return url
    return address._replace(query=f"{address.query}&ssl_cert_reqs=required".lstrip("&")).geturl()
