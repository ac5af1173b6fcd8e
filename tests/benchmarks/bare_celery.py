"""The baseline: a Celery task that makes the same two model calls, with no store, no retry and no journal.

`python -m tests.benchmarks.bare_celery` is its worker (prefork, eight slots); results go through Redis.
"""

from __future__ import annotations

import os
import sys

from celery import Celery
from openai import OpenAI

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
app = Celery("bare", broker=URL, backend=URL, set_as_current=False)
app.conf.update(task_default_queue="bare", worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)


@app.task(name="bare.two_calls")  # type: ignore[untyped-decorator]  # Celery has no types
def two_calls(task: str) -> str:
    client = OpenAI(timeout=30, max_retries=0)
    first = client.chat.completions.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": f"Which agent fits? {task}"}]
    )
    second = client.chat.completions.create(
        model="gpt-4.1",
        messages=[
            {"role": "user", "content": task},
            {"role": "assistant", "content": first.choices[0].message.content},
        ],
    )
    return second.choices[0].message.content or ""


if __name__ == "__main__":
    slots = sys.argv[1] if len(sys.argv) > 1 else "8"
    app.worker_main(["worker", "--pool=prefork", f"--concurrency={slots}", "--loglevel=WARNING", "--queues=bare"])
