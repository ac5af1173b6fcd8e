"""Tickets that bypass the product's dispatcher, as from a broker that delivers twice or from an attacker."""

from __future__ import annotations

from typing import Any

from celery import Celery

from app.broker.celery_config import PROCESS_TASK
from app.settings import BrokerSettings
from tests.support.stack import Stack


def send_ticket(stack: Stack, task_id: str, *, number: int = 0, name: str = PROCESS_TASK, args: Any = None) -> None:
    """Sends a message to the workers' queue; other `args` than the task's id make it a strange one."""
    with Celery(broker=stack.servers["broker"].url, set_as_current=False) as sender:
        sender.send_task(
            name,
            args=(task_id,) if args is None else args,
            task_id=f"{task_id}:{number}",
            queue=BrokerSettings().queue,
            ignore_result=True,
        )
