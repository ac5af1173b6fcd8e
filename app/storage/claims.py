"""The writes of the worker that runs a task: claim, fenced writes, heartbeat.

Only due tasks are dispatched, so a claim does not check the time. A claim raises the epoch. Every fenced write filters
on that epoch and on the status `processing`, and has an id of its own: a write that is repeated after a lost reply
changes nothing and is still recognized as done. The heartbeat and `abandon` find the claim by its id, `return_ticket`
finds the task by its status.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.errors import OperationFailure

from app.domain.identity import ClaimId, SessionId, TaskId, Tenant
from app.domain.message import Message, MessageRole
from app.domain.run import EventName
from app.domain.task import Requeue, Task, TaskError, TaskResult, TaskStatus, other_version_delay
from app.errors import TaskUnreadable
from app.ports import Claim, Heartbeat, RunUpdate
from app.storage.batching import Batches
from app.storage.documents import read_task, read_turns, read_until_full, to_answer
from app.storage.lanes import sort, take_back
from app.storage.mongo import CODEC_ERRORS, Database, is_outage, store_errors
from app.storage.writes import Expression, change, later, literal, run_ended, still, task_ended

# The fields that count the reasons; an outage is not counted.
COUNTERS = {
    Requeue.CRASH: "crashes",
    Requeue.SHARED_CRASH: "shared_crashes",
    Requeue.RETRY: "retries",
    Requeue.POSTPONED: "postponed",
    Requeue.HANDBACK: "handbacks",
}
_TURNS = {"messages": 1, "result.raw_output": 1, "result.citations": 1}
# Earlier tasks of a session whose messages a run gets. Bounds the document, which stores them at the first claim.
HISTORY_TASKS = 50
# The newest turns are read until they have more characters than any AGENT_SESSION_HISTORY_TOKENS allows.
HISTORY_CHARACTERS = 1_000_000
# Claims that one request makes together. A document with the longest history has 4 MiB.
BATCH = 8


@dataclass(frozen=True)
class _Wanted:
    """One claim that a worker asks for."""

    task_id: TaskId
    claim_id: str


class MongoClaimRepository:
    """Implements `app.ports.ClaimRepository` for the worker `owner`.

    A claim lasts `lease_seconds` without a heartbeat.
    """

    def __init__(self, db: Database, *, owner: str, lease_seconds: float) -> None:
        self._db = db
        self._owner = owner
        self._tasks = db["tasks"]
        self._lease_seconds = lease_seconds
        self._claims: Batches[_Wanted, dict[str, Any] | None] = Batches(self._claim_all, most=BATCH)

    async def claim(self, task_id: TaskId, *, claim_id: str) -> Task | None:
        with store_errors(f"claim task {task_id}"):
            document = await self._claims.join(_Wanted(task_id, claim_id))
        if document is None:
            return None
        try:
            return read_task(document)
        except TaskUnreadable:
            # A worker of the version that wrote the task may understand it, so the claim is handed back with a delay.
            claim = Claim(task_id=task_id, claim_id=ClaimId(claim_id), epoch=document["epoch"])
            delay_seconds = other_version_delay(document.get("handbacks") or 0)
            await self.requeue(claim, RunUpdate(), reason=Requeue.HANDBACK, delay_seconds=delay_seconds, error=None)
            return None

    async def _claim_all(self, wanted: Sequence[_Wanted]) -> Sequence[dict[str, Any] | Exception | None]:
        """Claims the tasks. Returns for each its document, None if it could not be claimed, or the error."""
        try:
            return await self._claim_together(wanted)
        except (OperationFailure, *CODEC_ERRORS) as error:
            if is_outage(error):
                raise
            if len(wanted) == 1:
                return [error]
        # One of the documents may be at fault. It must not keep the others from being claimed.
        return [answer for one in wanted for answer in await self._claim_all([one])]

    async def _claim_together(self, wanted: Sequence[_Wanted]) -> Sequence[dict[str, Any] | None]:
        await self._take(wanted)
        found = self._tasks.find({"_id": {"$in": [one.task_id for one in wanted]}})
        documents = {document["_id"]: document for document in await found.to_list()}
        return [_granted(documents.get(one.task_id), one) for one in wanted]

    async def _take(self, wanted: Sequence[_Wanted]) -> None:
        ids = [one.task_id for one in wanted]
        claimable = {
            "_id": {"$in": ids},
            "status": still(TaskStatus.QUEUED.value),
            "dispatched_at": {"$ne": None},
            "cancel_requested_at": None,
        }
        claim_ids = literal([one.claim_id for one in wanted])
        claim_id = {"$arrayElemAt": [claim_ids, {"$indexOfArray": [literal(ids), "$_id"]}]}
        lease = {"owner": literal(self._owner), "claim_id": claim_id, "expires_at": later(self._lease_seconds)}
        taken = change(
            {
                "status": literal(TaskStatus.PROCESSING.value),
                "epoch": {"$add": [{"$ifNull": ["$epoch", 0]}, 1]},
                "attempts": {"$add": [{"$ifNull": ["$attempts", 0]}, 1]},
                "lease": lease,
                "claimed_at": "$$NOW",
                "started_at": {"$ifNull": ["$started_at", "$$NOW"]},
            },
            event=EventName.CLAIMED,
            detail={"owner": self._owner},
        )
        # Not findOneAndUpdate: the embedded server scans the collection for it, 620 ms at 60,000 documents against 1 to
        # 2 ms for an update by id. The read that follows also finds a claim whose reply was lost.
        await self._tasks.update_many(claimable, taken)

    async def abandon(self, task_id: TaskId, claim_id: ClaimId) -> None:
        # By claim id, because the caller does not know the epoch: the reply that carries it was lost.
        mine = {"_id": task_id, "lease.claim_id": claim_id, "status": TaskStatus.PROCESSING.value}
        reason = Requeue.HANDBACK
        pipeline = change(requeued(reason, delay_seconds=0), event=EventName.REQUEUED, detail={"reason": reason.value})
        with store_errors(f"abandon a claim of task {task_id}"):
            await self._tasks.update_one(mine, [*pipeline, sort()])

    async def return_ticket(self, task_id: TaskId) -> None:
        with store_errors(f"return the ticket of task {task_id}"):
            await take_back(self._db, [task_id])

    async def history(self, tenant: Tenant, session_id: SessionId, *, before: Task) -> Sequence[Message]:
        earlier = {
            "tenant": tenant,
            "session_id": session_id,
            "status": TaskStatus.COMPLETED.value,
            "erased_at": None,
            "created_at": {"$lt": before.created_at},
        }
        with store_errors(f"read session {session_id}"):
            found = self._tasks.find(earlier, _TURNS).sort("created_at", -1).limit(HISTORY_TASKS)
            documents = await read_until_full(found, characters=HISTORY_CHARACTERS)
        return [message for document in reversed(documents) for message in read_turns(document)]

    async def record(self, claim: Claim, update: RunUpdate) -> bool:
        event = EventName.ROUTED if update.routing is not None else None
        detail = {"agent": update.routing.agent_name} if update.routing is not None else None
        return await self._write(claim, update, {}, event=event, detail=detail)

    async def complete(self, claim: Claim, update: RunUpdate, result: TaskResult) -> bool:
        answer = {
            "role": literal(MessageRole.ASSISTANT.value),
            **{name: literal(value) for name, value in to_answer(result.raw_output).items()},
            "agent_name": {"$ifNull": ["$selected_agent", None]},
            "created_at": "$$NOW",
        }
        fields = run_ended() | task_ended(TaskStatus.COMPLETED.value)
        fields["result"] = literal(result.model_dump())
        fields["messages"] = {"$concatArrays": [{"$ifNull": ["$messages", []]}, [answer]]}
        return await self._write(claim, update, fields, event=EventName.COMPLETED)

    async def fail(self, claim: Claim, update: RunUpdate, error: TaskError, partial: TaskResult | None) -> bool:
        fields = run_ended() | task_ended(TaskStatus.FAILED.value)
        fields["error"] = literal(error.model_dump())
        if partial is not None:
            fields["result"] = literal(partial.model_dump())
        return await self._write(claim, update, fields, event=EventName.FAILED, detail={"error": error.type})

    async def cancel(self, claim: Claim, update: RunUpdate) -> bool:
        fields = run_ended() | task_ended(TaskStatus.CANCELLED.value)
        return await self._write(claim, update, fields, event=EventName.CANCELLED)

    async def requeue(
        self, claim: Claim, update: RunUpdate, *, reason: Requeue, delay_seconds: float, error: TaskError | None
    ) -> bool:
        fields = requeued(reason, delay_seconds=delay_seconds)
        detail: dict[str, Any] = {"reason": reason.value, "delay_seconds": round(delay_seconds, 3)}
        if error is not None:
            detail["error"] = error.type
        return await self._write(claim, update, fields, event=EventName.REQUEUED, detail=detail, then=[sort()])

    async def heartbeat(self, claims: Sequence[Claim]) -> Heartbeat:
        claim_ids = [claim.claim_id for claim in claims]
        # The ids of the tasks are there for the index: claims have none, so that every write stays cheap.
        held = {
            "_id": {"$in": [claim.task_id for claim in claims]},
            "lease.claim_id": {"$in": claim_ids},
            "status": TaskStatus.PROCESSING.value,
        }
        renewed = [{"$set": {"lease.expires_at": later(self._lease_seconds)}}]
        lost: set[ClaimId] = set()
        with store_errors("renew leases"):
            result = await self._tasks.update_many(held, renewed)
            if result.matched_count < len(claims):  # the usual round, in which nothing is lost, saves this query
                alive = await self._tasks.find(held, {"lease.claim_id": 1}).to_list()
                lost = set(claim_ids) - {document["lease"]["claim_id"] for document in alive}
            flagged = {**held, "cancel_requested_at": {"$ne": None}}
            cancelled = await self._tasks.find(flagged, {"lease.claim_id": 1}).to_list()
        return Heartbeat(
            lost=frozenset(lost),
            cancelled=frozenset(document["lease"]["claim_id"] for document in cancelled),
        )

    async def _write(
        self,
        claim: Claim,
        update: RunUpdate,
        fields: dict[str, Expression],
        *,
        event: EventName | None = None,
        detail: dict[str, Any] | None = None,
        then: Sequence[dict[str, Any]] = (),
    ) -> bool:
        fenced = {
            "_id": claim.task_id,
            "epoch": still(claim.epoch),
            "status": still(TaskStatus.PROCESSING.value),
            "last_write": {"$ne": update.write_id},
        }
        written = {**_recorded(update), **fields, "last_write": literal(update.write_id)}
        with store_errors(f"write task {claim.task_id}"):
            result = await self._tasks.update_one(fenced, [*change(written, event=event, detail=detail), *then])
            if result.matched_count:
                return True
            # No match: the claim is lost, or this repeats a write whose reply was lost. The write's id decides.
            done = {"_id": claim.task_id, "epoch": claim.epoch, "last_write": update.write_id}
            return await self._tasks.find_one(done, {"_id": 1}) is not None


def _granted(document: dict[str, Any] | None, wanted: _Wanted) -> dict[str, Any] | None:
    """Returns the document if it has this claim."""
    lease = None if document is None else document.get("lease")
    return document if isinstance(lease, dict) and lease.get("claim_id") == wanted.claim_id else None


def requeued(reason: Requeue, *, delay_seconds: float, run_ends_at: Expression = "$$NOW") -> dict[str, Expression]:
    """Builds the fields that requeue a running task, due after the delay, and that increase the reason's counter.

    The stage `app.storage.lanes.sort` has to follow.
    """
    fields = run_ended(run_ends_at) | {
        "status": literal(TaskStatus.QUEUED.value),
        # `queued_at` stays: a task that lost its worker keeps its place and does not go behind the whole backlog.
        "due_at": later(delay_seconds),
    }
    counter = COUNTERS.get(reason)
    if counter is not None:
        fields[counter] = {"$add": [{"$ifNull": [f"${counter}", 0]}, 1]}
    return fields


def _recorded(update: RunUpdate) -> dict[str, Expression]:
    fields: dict[str, Expression] = {f"steps.{step.key}": literal(step.model_dump()) for step in update.steps}
    if update.usage is not None:
        fields["usage"] = literal(update.usage.model_dump())
    if update.spending is not None:
        fields["spending"] = literal(update.spending.model_dump())
    if update.history is not None:
        fields["history"] = literal([message.model_dump() for message in update.history])
    if update.routing is not None:
        fields["routing"] = literal(update.routing.model_dump())
        fields["selected_agent"] = literal(update.routing.agent_name)
        fields["peer_routing_reason"] = literal(update.routing.reasoning)
    if update.agent_type is not None:
        fields["agent_type"] = literal(update.agent_type)
    return fields
