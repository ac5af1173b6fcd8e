"""What must be true of accepted tasks when the trouble is over, read from the database and the simulator's counters.

A task's own events are its history, so a second commit, a claim of what ran already or a write after the end shows in
them. Times of calls and of steps come from processes of one machine, so they can be compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from app.agents.base import FAILED_MARK
from app.domain.run import EventName
from app.storage.writes import EVENTS_KEPT
from tests.stack import TERMINAL, Stack

Document = dict[str, Any]
BATCH = 500
STORED_PRECISION_SECONDS = 0.001
_ENDS = {EventName.COMPLETED: "completed", EventName.FAILED: "failed", EventName.CANCELLED: "cancelled"}


def violations(stack: Stack, task_ids: Sequence[str], *, skew_seconds: float = 0, orphans: bool = True) -> list[str]:
    """Every broken promise, one sentence each; tasks must have ended and been projected before.

    `skew_seconds` is how far the workers' clocks are ahead of the simulator's. Looking for `orphans` reads the ids of
    the whole database.
    """
    found: list[str] = []
    with stack.database() as db:
        for begin in range(0, len(task_ids), BATCH):
            ids = list(task_ids[begin : begin + BATCH])
            documents = {document["_id"]: document for document in db["tasks"].find({"_id": {"$in": ids}})}
            found += [f"{task_id}: lost" for task_id in ids if task_id not in documents]
            for document in documents.values():
                calls = stack.calls(document["_id"])
                problems = [*_history_problems(document), *_call_problems(document, calls, skew_seconds)]
                found += [f"{document['_id']}: {problem}" for problem in problems]
            found += _projection_problems(db, documents)
        if orphans:
            found += [f"{task_id}: copies of a task that is not there" for task_id in _orphans(db)]
    return found


def _history_problems(task: Document) -> Iterator[str]:
    """The events must tell: queued, then claimed and requeued in turns, then one end and nothing after it."""
    if task["status"] not in TERMINAL:
        yield f"is {task['status']}, not ended"
    running, ended, claims, last_rev = False, None, 0, -1
    for event in task["events"]:
        name = event["name"]
        if ended is not None:
            yield f"{name} after {ended}"
        if event["rev"] <= last_rev:
            yield f"{name} with a revision that is not new"
        last_rev = event["rev"]
        if name == EventName.CLAIMED:
            if running:
                yield "claimed while it was claimed"
            running, claims = True, claims + 1
        elif name in (EventName.REQUEUED, EventName.ROUTED) and not running:
            yield f"{name} while nobody ran it"
        running = running and name != EventName.REQUEUED
        ended = _ENDS.get(EventName(name), ended)
    if ended != task["status"]:
        yield f"is {task['status']}, but its events end with {ended}"
    if len(task["events"]) < EVENTS_KEPT and not claims == task.get("epoch", 0) == task.get("attempts", 0):
        yield f"{claims} claims, epoch {task.get('epoch')}, {task.get('attempts')} attempts"
    answers = sum(message["role"] == "assistant" for message in task["messages"])
    if answers != (task["status"] == "completed"):
        yield f"{answers} answers of a task that is {task['status']}"


def _call_problems(task: Document, counted: Document, skew_seconds: float) -> Iterator[str]:
    """No call of a recorded step comes after its record; what is recorded was counted; costs lie in their bounds."""
    calls = [call for call in counted["entries"] if call["step"]]
    for key, step in task.get("steps", {}).items():
        own = [call for call in calls if call["step"] == key.partition(FAILED_MARK)[0]]
        answered = sum(attempt["status"] == "ok" for attempt in step["attempts"])
        if answered > len(own):
            yield f"{key}: {answered} answers recorded, {len(own)} calls counted"
        if FAILED_MARK in key:
            continue
        finished_at = step["finished_at"].timestamp() - skew_seconds
        recorded_at = finished_at + STORED_PRECISION_SECONDS
        for call in own:
            if call["began_at"] > recorded_at:
                yield f"{key}: called again at {_clock(call['began_at'])}, recorded at {_clock(recorded_at)}"
    yield from _steps_back(task, calls)
    tokens = sum(call["input_tokens"] + call["output_tokens"] for call in calls)
    settled = _tokens(task.get("usage"))
    if settled > tokens:
        yield f"{settled} tokens settled, {tokens} counted"
    if task.get("budget"):
        most = _tokens(task["spending"]["settled"]) + _tokens(task["spending"]["reserved"])
        if tokens > most:
            yield f"{tokens} tokens counted, {most} settled or reserved"


def _steps_back(task: Document, calls: Sequence[Document]) -> Iterator[str]:
    """A call of a step after one of a later step has begun: the earlier step was recorded by then."""
    order = {key: step["sequence"] for key, step in task.get("steps", {}).items()}
    furthest = ""
    for call in sorted(calls, key=lambda call: float(call["began_at"])):
        step = call["step"]
        if step not in order:
            continue
        if furthest and order[step] < order[furthest]:
            yield f"{step}: called at {_clock(call['began_at'])}, after {furthest}"
        else:
            furthest = step


def _tokens(usage: Document | None) -> int:
    return 0 if usage is None else usage["input_tokens"] + usage["output_tokens"]


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S.%f")


def _projection_problems(db: Any, documents: dict[str, Document]) -> Iterator[str]:
    """`agent_runs`, `messages` and `logs` hold exactly what the documents do."""
    expected = {
        "agent_runs": Counter({task_id: len(task.get("steps", {})) for task_id, task in documents.items()}),
        "messages": Counter({task_id: len(task["messages"]) for task_id, task in documents.items()}),
        "logs": Counter({task_id: len(task["events"]) for task_id, task in documents.items()}),
    }
    for collection, wanted in expected.items():
        copies = db[collection].find({"task_id": {"$in": list(documents)}}, {"task_id": 1})
        there = Counter(copy["task_id"] for copy in copies)
        for task_id in documents:
            kept = len(documents[task_id]["events"]) < EVENTS_KEPT or collection != "logs"
            if kept and there[task_id] != wanted[task_id]:
                yield f"{task_id}: {there[task_id]} of {wanted[task_id]} in {collection}"


def _orphans(db: Any) -> list[str]:
    owners = {
        owner for collection in ("agent_runs", "messages", "logs") for owner in db[collection].distinct("task_id")
    }
    known = {task["_id"] for task in db["tasks"].find({}, {"_id": 1})}
    return sorted(owners - known)
