"""Tickets that come twice, late or for unknown tasks, and messages that are no tickets."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from app.domain.fairness import Lane
from tests.chaos.lab import NEXT_YEAR, Lab, fault, reckon, statuses, submit_many
from tests.chaos.switches import Switch
from tests.chaos.tickets import send_ticket
from tests.support.tasks import waiting_document

COPIES = 10


@fault({Switch.IDEMPOTENT_CLAIM: "claimed while it was claimed"})
def ten_tickets_come_for_one_task(lab: Lab, _: float) -> None:
    with lab.stack(workers=2, simulator=["--latency-ms", "500"]) as stack:
        tasks = submit_many(stack, 3)
        for task in tasks:
            for number in range(COPIES):
                send_ticket(stack, task, number=number + 2)
        ended = reckon(stack, tasks)
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in ended} == {1}


@fault({Switch.IDEMPOTENT_CLAIM: "claimed after"})
def tickets_come_for_finished_cancelled_and_unknown_tasks(lab: Lab, _: float) -> None:
    with lab.stack() as stack:
        finished, cancelled = submit_many(stack, 1)[0], submit_many(stack, 1, run_at=NEXT_YEAR)[0]
        stack.client.post(f"/v1/tasks/{cancelled}/cancel").raise_for_status()
        for task in (finished, cancelled):
            stack.wait(task)
        before = [stack.get(task) for task in (finished, cancelled)]
        for task in (finished, cancelled, str(uuid.uuid4()), "no-id-at-all"):
            for number in range(COPIES):
                send_ticket(stack, task, number=number + 2)
        last = submit_many(stack, 3)
        ended = reckon(stack, [finished, cancelled, *last])
        assert statuses(ended[2:]) == {"completed"}
        assert [stack.get(task) for task in (finished, cancelled)] == before


@fault({Switch.TICKET_CHECK: "raised an error in", Switch.TICKET_RELEASE: r"did not end .*queued \(queued\)"})
def messages_come_that_are_no_tickets(lab: Lab, _: float) -> None:
    """Sends messages of another version or product, and arguments that are no id or would match any task."""
    with lab.stack(simulator=["--latency-ms", "500"], settings={"AGENT_WORKER_CONCURRENCY": "2"}) as stack:
        sent = {"dispatched_at": datetime.now(UTC), "lane": Lane.DISPATCHED.value}
        lost = {**waiting_document("Write a Python function that was lost."), **sent}
        tasks = submit_many(stack, 1)
        stack.wait(tasks[0])
        with stack.database() as db:
            db["tasks"].insert_one(lost)
        tasks.append(lost["_id"])
        send_ticket(stack, "a", name="process_task_v2")
        send_ticket(stack, "b", args=())
        send_ticket(stack, "c", args=("c", {"further": "argument of a newer version"}))
        send_ticket(stack, "d", args=({"not": "an id"},))
        send_ticket(stack, "e", args=(17,))
        send_ticket(stack, "f", args=({"$ne": None},))
        send_ticket(stack, lost["_id"], args=({"task_id": lost["_id"]},))
        tasks += submit_many(stack, 3)
        ended = reckon(stack, tasks)
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in ended} == {1}
        raised = [line["data"]["id"] for line in stack.logged_errors() if line["logger"] == "celery.app.trace"]
        assert raised == [], "messages raised an error in the worker, which fails the claims of other tasks with theirs"
        assert stack.parts["worker"].alive
