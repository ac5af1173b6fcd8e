"""The baseline: a Celery task that makes the same two model calls, with no store, no retry and no journal.

Each process keeps one vendor client, as a careful user of Celery would write it. Run as a module it is the worker
(prefork, eight slots); results go through Redis.
"""

from __future__ import annotations

import os
import sys
from functools import cache

from celery import Celery
from openai import OpenAI

SLOTS = 8
TWO_CALLS = "bare.two_calls"
QUEUE = "bare"


def build_bare(url: str) -> Celery:
    app = Celery("bare", broker=url, backend=url, set_as_current=False)
    app.conf.update(task_default_queue=QUEUE, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)
    app.task(name=TWO_CALLS)(two_calls)
    return app


@cache
def client_of_process() -> OpenAI:
    return OpenAI(timeout=30, max_retries=0)


def two_calls(task: str) -> str:
    client = client_of_process()
    first = client.chat.completions.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": f"Which agent fits? {task}"}]
    )
    thought = first.choices[0].message.content or ""
    second = client.chat.completions.create(
        model="gpt-4.1", messages=[{"role": "user", "content": task}, {"role": "assistant", "content": thought}]
    )
    return second.choices[0].message.content or ""


if __name__ == "__main__":
    build_bare(os.environ["REDIS_URL"]).worker_main(
        ["worker", "--pool=prefork", f"--concurrency={SLOTS}", "--loglevel=WARNING", f"--queues={QUEUE}"]
    )
    sys.exit(0)
