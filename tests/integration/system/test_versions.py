"""Documents of older and newer versions: what can be run is run, what cannot is left as it is."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.task import UNFINISHED
from app.errors import TaskUnreadable
from tests.support.stack import Stack

LONG_AGO = timedelta(minutes=5)


def document(**fields: Any) -> dict[str, Any]:
    """A queued task as the first version wrote it: nothing in it that has a default today."""
    now = datetime.now(UTC)
    times = dict.fromkeys(("created_at", "queued_at", "updated_at", "changed_at", "due_at"), now)
    text = "Write a Python function that knows its version."
    oldest = {
        "_id": str(uuid.uuid4()),
        "tenant": "default",
        "task": text,
        "session_id": str(uuid.uuid4()),
        "request_id": uuid.uuid4().hex,
        "status": "queued",
        "rev": 1,
        "messages": [{"role": "user", "content": text, "created_at": now}],
    }
    return {**oldest, **times, **fields}


def store(stack: Stack, *documents: dict[str, Any]) -> None:
    with stack.database() as db:
        db["tasks"].insert_many(documents)


def stored(stack: Stack, task_id: str) -> dict[str, Any]:
    with stack.database() as db:
        found: dict[str, Any] = db["tasks"].find_one({"_id": task_id})
    return found


def test_a_task_of_an_older_version_is_run(stack: Stack) -> None:
    old = document()
    store(stack, old)

    assert stack.wait(old["_id"])["status"] == "completed"


def test_a_run_of_an_older_version_whose_worker_is_gone_is_taken_over(stack: Stack) -> None:
    lease = {"owner": "gone", "claim_id": "gone", "expires_at": datetime.now(UTC) - LONG_AGO}
    old = document(status="processing", epoch=1, attempts=1, lease=lease)
    store(stack, old)

    ended = stack.wait(old["_id"])

    assert (ended["status"], ended["attempts"]) == ("completed", 2)


def test_what_a_newer_version_added_to_a_task_is_kept_through_its_run(stack: Stack) -> None:
    new = document(labels={"colour": "green"}, source={"kind": "rest", "continent": "Europe"}, budget={"max_days": 3})
    store(stack, new)

    assert stack.wait(new["_id"])["status"] == "completed"
    after = stored(stack, new["_id"])
    assert (after["labels"], after["source"], after["budget"]) == (new["labels"], new["source"], new["budget"])


@pytest.mark.parametrize("status", ["suspended", "completed_twice"])
def test_a_task_in_a_status_of_a_newer_version_is_left_alone(stack: Stack, status: str) -> None:
    new = document(status=status, unprojected=True)
    store(stack, new)
    beside = stack.submit("Write a Python function that comes later.")["task_id"]

    stack.wait(beside)
    stack.client.post(f"/v1/tasks/{new['_id']}/cancel")
    told = stack.client.get(f"/v1/tasks/{new['_id']}")
    listed = [task["task_id"] for task in stack.client.get("/v1/tasks").json()["items"]]

    assert (told.status_code, told.json()["code"]) == (TaskUnreadable.http_status, TaskUnreadable.code)
    assert beside in listed
    assert new["_id"] not in listed
    after = stored(stack, new["_id"])
    assert (after["status"], after["task"], after["messages"][0]["content"]) == (status, new["task"], new["task"])


def test_a_queued_task_that_only_a_newer_worker_understands_is_handed_back_and_not_failed(stack: Stack) -> None:
    new = document(max_attempts=1, budget="one gold coin")
    store(stack, new)
    beside = stack.submit("Write a Python function that comes later.")["task_id"]

    assert stack.wait(beside)["status"] == "completed"
    stack.wait_until(lambda: stored(stack, new["_id"]).get("handbacks", 0) >= 2, seconds=30)
    after = stored(stack, new["_id"])
    assert after["status"] in UNFINISHED
    assert (after.get("crashes", 0), after["budget"]) == (0, "one gold coin")
    with stack.database() as db:
        db["tasks"].delete_one({"_id": new["_id"]})


def test_a_conversation_goes_on_beside_messages_of_a_newer_kind(stack: Stack) -> None:
    first = stack.submit("Write a Python function that begins a talk.")
    stack.wait(first["task_id"])
    with stack.database() as db:
        strange = {"role": "oracle", "content": "42", "created_at": datetime.now(UTC)}
        db["tasks"].update_one({"_id": first["task_id"]}, {"$push": {"messages": strange}})

    second = stack.submit("Now explain it.", session_id=first["session_id"])

    assert stack.wait(second["task_id"])["status"] == "completed"
