"""The invariants of accepted tasks after the faults are over, checked in the database and the simulator's counters.

A task's own events are its history. They show a second commit, a claim of a task that ran already, and a write after
the end. Times of calls and of steps come from processes of one machine, so they can be compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Protocol

from app.agents.base import FAILED_MARK
from app.domain.message import MessageRole
from app.domain.run import EventName
from app.domain.task import TERMINAL, Requeue
from app.errors import AttemptsExhausted
from app.llm.pricing import PriceTable, TokenCounts
from app.llm.provider_table import Provider
from app.storage.documents import read_messages
from app.storage.writes import EVENTS_KEPT

Document = dict[str, Any]
BATCH = 500
STORED_PRECISION_SECONDS = 0.001  # BSON stores whole milliseconds
MOST_TRIES = 8  # model calls of one step that a run may have made before it was interrupted, all of them unrecorded
SEARCH = "search"
PRICES = PriceTable(elsewhere=tuple(Provider))
REQUEUE_COUNTERS = {
    Requeue.CRASH: "crashes",
    Requeue.RETRY: "retries",
    Requeue.POSTPONED: "postponed",
    Requeue.HANDBACK: "handbacks",
}
# For each collection of copies: the parts of a task that are copied, their names, and the time that differs by version.
COPIES: dict[str, tuple[Callable[[Document], list[tuple[str, Document]]], str]] = {
    "agent_runs": (lambda task: list(task["steps"].items()), "finished_at"),
    "messages": (lambda task: [(str(number), part) for number, part in enumerate(task["messages"])], "created_at"),
    "logs": (lambda task: [(f"{event['rev']}:{event['name']}", event) for event in task["events"]], "at"),
}
_ENDS = {EventName.COMPLETED: "completed", EventName.FAILED: "failed", EventName.CANCELLED: "cancelled"}


class Witness(Protocol):
    """The source of the evidence: the database, and the calls that the simulator counted."""

    def database(self) -> AbstractContextManager[Any]: ...

    def calls(self, task_id: str | None = None) -> Any: ...


def violations(
    system: Witness, task_ids: Sequence[str], *, skew_seconds: float = 0, orphans: bool = True, counted: bool = True
) -> list[str]:
    """Returns one sentence for each broken promise. The tasks must have ended and been projected before.

    `skew_seconds` is how far the workers' clocks are ahead of the simulator's. The search for `orphans` reads the ids
    of the whole database. Calls are compared only if this simulator `counted` all of them.
    """
    found: list[str] = []
    with system.database() as db:
        for begin in range(0, len(task_ids), BATCH):
            ids = list(task_ids[begin : begin + BATCH])
            documents = {document["_id"]: document for document in db["tasks"].find({"_id": {"$in": ids}})}
            found += [f"{task_id}: lost" for task_id in ids if task_id not in documents]
            for document in documents.values():
                problems = list(_history_problems(document))
                if counted:
                    problems += _call_problems(document, system.calls(document["_id"]), skew_seconds)
                found += [f"{document['_id']}: {problem}" for problem in problems]
            found += _projection_problems(db, documents)
        if orphans:
            found += [f"{task_id}: copies of a task that does not exist" for task_id in _orphans(db)]
    return found


def _history_problems(task: Document) -> Iterator[str]:
    """Checks the order of the events: queued, then claimed and requeued in turns, then one end and nothing after it."""
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
            yield f"{name} while no worker ran it"
        running = running and name != EventName.REQUEUED
        ended = _ENDS.get(EventName(name), ended)
    if ended != task["status"]:
        yield f"is {task['status']}, but its events end with {ended}"
    yield from _end_problems(task)
    # A document keeps its last EVENTS_KEPT events. A longer history is incomplete, so it cannot be counted.
    if len(task["events"]) < EVENTS_KEPT and not claims == task.get("epoch", 0) == task.get("attempts", 0):
        yield f"{claims} claims, epoch {task.get('epoch')}, {task.get('attempts')} attempts"


def _end_problems(task: Document) -> Iterator[str]:
    """Checks that result, error, messages and counters fit the end and the events."""
    completed = task["status"] == "completed"
    answers = [message.content for message in read_messages(task) if message.role is MessageRole.ASSISTANT]
    if answers != ([task.get("result", {}).get("raw_output")] if completed else []):
        yield f"{len(answers)} answers of a task that is {task['status']}, or not its result"
    if bool(task.get("error")) != (task["status"] == "failed"):
        yield f"error {task.get('error')} of a task that is {task['status']}"
    left = [name for name in ("lease", "dispatched_at", "claimed_at") if task.get(name) is not None]
    if left:
        yield f"ended, and still has {', '.join(left)}"
    if len(task["events"]) < EVENTS_KEPT:
        reasons = Counter(event["detail"]["reason"] for event in task["events"] if event["name"] == EventName.REQUEUED)
        for reason, counter in REQUEUE_COUNTERS.items():
            # The crash that uses up the attempts is counted, but it fails the task and has no requeued event.
            at_the_end = int(
                reason == Requeue.CRASH and (task.get("error") or {}).get("type") == AttemptsExhausted.code
            )
            if task.get(counter, 0) != reasons[reason.value] + at_the_end:
                yield f"{task.get(counter, 0)} {counter}, {reasons[reason.value]} in its events"


def _call_problems(task: Document, counted: Document, skew_seconds: float) -> Iterator[str]:
    """Checks that no step is called after its record, that recorded calls were counted, and costs are in bounds."""
    calls = [call for call in counted["entries"] if call["endpoint"] != SEARCH]
    nameless = sum(not call["step"] for call in calls)
    if nameless:
        yield f"{nameless} calls without a step"
    for key, step in task.get("steps", {}).items():
        # A failed try of a step is recorded under its key with a mark; the simulator counts by the key alone.
        own = [call for call in calls if call["step"] == key.partition(FAILED_MARK)[0]]
        answered = sum(attempt["status"] == "ok" for attempt in step["attempts"])
        if answered > len(own):
            yield f"{key}: {answered} answers recorded, {len(own)} calls counted"
        if FAILED_MARK in key:
            continue
        finished_at = step["finished_at"].timestamp() - skew_seconds
        recorded_at = finished_at + STORED_PRECISION_SECONDS
        tries = sum(len(task["steps"][known]["attempts"]) for known in task["steps"] if _same_step(known, key))
        interrupted = task.get("attempts", 0) - 1
        if len(own) > tries + interrupted * MOST_TRIES:
            yield f"{key}: {len(own)} calls, {tries} recorded, {interrupted} runs interrupted"
        for call in own:
            if call["began_at"] > recorded_at:
                yield f"{key}: called again at {_clock(call['began_at'])}, recorded at {_clock(recorded_at)}"
    yield from _steps_back(task, calls)
    yield from _cost_problems(task, calls)


def _cost_problems(task: Document, calls: Sequence[Document]) -> Iterator[str]:
    """Checks that settled ≤ counted and, if a budget requires reservations, that counted ≤ settled plus reserved.

    The tokens of a call that broke off are estimated, and may be more than were counted. Its cost is not settled. Costs
    are compared only if all models called have a price: an older chart asks the simulator under the names of vendors.
    """
    tokens = sum(call["input_tokens"] + call["output_tokens"] for call in calls)
    costs = [_microusd_of_call(call) for call in calls]
    known = [cost for cost in costs if cost is not None]
    cost = sum(known) if len(known) == len(costs) else None
    settled = _tokens(task.get("usage"))
    recorded = sum(_tokens(attempt["usage"]) for step in task["steps"].values() for attempt in step["attempts"])
    if task["status"] == "completed" and settled != recorded:
        yield f"{settled} tokens settled, {recorded} in the journal: an answer that was recorded was replaced"
    if settled > tokens and not task["usage"].get("estimated"):
        yield f"{settled} tokens settled, {tokens} counted"
    if cost is not None and _microusd(task.get("usage")) > cost:
        yield f"{_microusd(task['usage'])} micro-USD settled, {cost} counted"
    if task.get("budget"):
        settled_part, reserved_part = task["spending"]["settled"], task["spending"]["reserved"]
        most = _tokens(settled_part) + _tokens(reserved_part)
        if tokens > most:
            yield f"{tokens} tokens counted, {most} settled or reserved"
        most = _microusd(settled_part) + _microusd(reserved_part)
        if cost is not None and cost > most:
            yield f"{cost} micro-USD counted, {most} settled or reserved"
        if task["budget"].get("max_tokens") is not None and tokens > task["budget"]["max_tokens"]:
            yield f"{tokens} tokens counted, {task['budget']['max_tokens']} allowed"
        limit = task["budget"].get("max_cost_microusd")
        if limit is not None and cost is not None and cost > limit:
            yield f"{cost} micro-USD counted, {limit} allowed"


def _same_step(known: str, key: str) -> bool:
    return known.partition(FAILED_MARK)[0] == key


def _steps_back(task: Document, calls: Sequence[Document]) -> Iterator[str]:
    """Checks that no step is called after the call of a later step, because the earlier one was recorded by then."""
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


def _microusd(usage: Document | None) -> int:
    if usage is None:
        return 0
    whole = usage["cost_microusd"]
    known: int = usage.get("partial_cost_microusd", 0) if whole is None else whole
    return known


def _microusd_of_call(call: Document) -> int | None:
    tokens = TokenCounts(input=call["input_tokens"], output=call["output_tokens"])
    return PRICES.price(
        call["provider"], call["model"], tokens, at=datetime.fromtimestamp(call["began_at"], UTC)
    ).microusd


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S.%f")


def _projection_problems(db: Any, documents: dict[str, Document]) -> Iterator[str]:
    """Checks that `agent_runs`, `messages` and `logs` hold one entry of the right time for each part, and no other."""
    for collection, (parts, time) in COPIES.items():
        copies: dict[str, dict[str, Any]] = {task_id: {} for task_id in documents}
        for copy in db[collection].find({"task_id": {"$in": list(documents)}}, {"task_id": 1, time: 1}):
            copies[copy["task_id"]][copy["_id"]] = copy[time]
        for task_id, task in documents.items():
            wanted = {f"{task_id}:{name}": part[time] for name, part in parts(task)}
            complete = collection != "logs" or len(task["events"]) < EVENTS_KEPT
            if complete and copies[task_id] != wanted:
                differing = sorted(dict(copies[task_id].items() ^ wanted.items()))
                yield f"{task_id}: {collection} differs from the document in {differing[:3]}"


def _orphans(db: Any) -> list[str]:
    owners = {
        owner for collection in ("agent_runs", "messages", "logs") for owner in db[collection].distinct("task_id")
    }
    known = {task["_id"] for task in db["tasks"].find({}, {"_id": 1})}
    return sorted(owners - known)
