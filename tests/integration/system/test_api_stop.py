"""An API process that is asked to stop still answers the requests that wait."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.support.stack import Plan, running_stack
from tests.support.waiting import wait_for

CUT_OFF_SECONDS = 10


def test_a_request_that_waits_for_a_task_is_answered_with_its_status() -> None:
    with (
        running_stack(Plan(workers=0)) as stack,
        httpx.Client(base_url=stack.api_url, timeout=70, trust_env=False) as client,
        ThreadPoolExecutor() as threads,
    ):
        task = {"task": "Write a poem."}
        waiting = threads.submit(client.post, "/v1/agent/execute", json=task, headers={"Prefer": "wait=60"})
        wait_for(lambda: len(client.get("/v1/tasks").json()["items"]) == 1, what="the task")

        stack.parts["api"].send_signal(signal.SIGTERM)
        answer = waiting.result(CUT_OFF_SECONDS)

    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
