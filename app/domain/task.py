"""A task: the one record of the request, its progress and its outcome.

The document is the truth and the outbox; everything else (tickets in Redis, `agent_runs`, `messages`, `logs`) can be
rebuilt from it. `TRANSITIONS` lists which status may follow which. Each write in `app.storage` filters on the status
that it leaves; the contract suite makes every write from every status and compares the changes with the table.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from app.domain.agent import Citation
from app.domain.identity import ClaimId, RequestId, SessionId, TaskId, Tenant
from app.domain.message import Message
from app.domain.run import TaskEvent
from app.domain.usage import NO_USAGE, ModelAttempt, Usage

if TYPE_CHECKING:
    from typing import Self

AGENT_TASK = "agenttask"  # the kind of source of tasks that the operator submits
TASK_TEXT_LIMIT = 32_768
# A due time this long ago counts as a mistake, and not as the delay of a request on its way.
LATEST_PAST_RUN_AT = timedelta(minutes=1)
FURTHEST_RUN_AT = timedelta(days=3653)  # ten years
LONGEST_TTL_SECONDS = 315_360_000  # ten years; an installation may allow less
# A document of MongoDB has at most 16 MiB. A task's may hold other long texts beside its answer: those of its steps.
RESULT_BYTES_LIMIT = 4 * 1024 * 1024
# The first and the longest delay between offers of a task that only a worker of another version can run.
OTHER_VERSION_SECONDS = 2.0
LONGEST_OTHER_VERSION_SECONDS = 60.0


class TaskStatus(StrEnum):
    """The place of a task in its life. `TRANSITIONS` lists which status may follow which."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.QUEUED: frozenset({TaskStatus.PROCESSING, TaskStatus.FAILED, TaskStatus.CANCELLED}),
    TaskStatus.PROCESSING: frozenset(
        {TaskStatus.QUEUED, TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}
    ),
    TaskStatus.COMPLETED: frozenset(),
    TaskStatus.FAILED: frozenset(),
    TaskStatus.CANCELLED: frozenset(),
}
# Both sets follow from the table. Their members are strings, so they compare with statuses in JSON and in documents.
TERMINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)
UNFINISHED = frozenset(TRANSITIONS) - TERMINAL


class Requeue(StrEnum):
    """The reason why a running task is requeued. Each is counted apart; only crashes and retries are limited."""

    CRASH = "crash"
    SHARED_CRASH = "shared_crash"
    RETRY = "retry"
    POSTPONED = "postponed"
    HANDBACK = "handback"
    OUTAGE = "outage"


class _Part(BaseModel):
    """The base of a document's parts. Fields of a newer version are kept, so that a write does not destroy them."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


class Source(_Part):
    """The origin of the task. `kind` is `rest` or `agenttask`; the fields from `cluster` on name the Kubernetes object.

    `shift` is the shift of the operator that submitted it. Tasks of older versions have neither it nor `namespace_uid`.
    """

    kind: str = "rest"
    ip: str | None = None
    user_agent: str | None = None
    environment: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None
    namespace_uid: str | None = None
    shift: str | None = None


class Budget(_Part):
    """The limits of the whole task, all attempts together; None is no limit."""

    max_tokens: int | None = None
    max_cost_microusd: int | None = None

    def covers(self, usage: Usage) -> bool:
        """Checks whether the usage stays within the limits. An unknown cost is within no limit of money."""
        if self.max_tokens is not None and usage.total_tokens > self.max_tokens:
            return False
        if self.max_cost_microusd is None:
            return True
        return usage.cost_microusd is not None and usage.cost_microusd <= self.max_cost_microusd

    def after(self, spent: Usage) -> Budget:
        """Returns the limits that are left after `spent`, of which an unknown cost counts as far as it is known."""
        return Budget(
            max_tokens=_less(self.max_tokens, spent.total_tokens),
            max_cost_microusd=_less(self.max_cost_microusd, spent.known_cost_microusd),
        )


def _less(limit: int | None, spent: int) -> int | None:
    return None if limit is None else max(0, limit - spent)


class Spending(_Part):
    """The amounts that count against the budget: settled by recorded steps, and reserved for calls under way.

    A reservation that is still open when its process dies counts as spent: the call may have been billed.
    """

    settled: Usage = NO_USAGE
    reserved: Usage = NO_USAGE


class Step(_Part):
    """One finished node of an agent's graph, or one call of its LangChain model: an entry of the journal.

    The key is `{node}#{n}`, or `{node}_{hash}#{n}` of work that is found by its inputs. `input_hash` of a node covers
    recorded inputs only, never a rendered prompt, which has random boundaries; that of a call covers its messages.
    `output` is the partial state of a node. In place of the result, which the task stores once, it has
    `{"$result": true}`.
    """

    key: str
    node: str
    agent_name: str
    sequence: int
    input_hash: str
    output: dict[str, JsonValue]
    usage: Usage = NO_USAGE
    attempts: tuple[ModelAttempt, ...] = ()
    started_at: AwareDatetime
    finished_at: AwareDatetime


class Alternative(_Part):
    agent_name: str
    confidence: float


class Routing(_Part):
    """The router's answer. `confidence` is 0 to 1; None if the caller pinned the agent."""

    agent_name: str
    confidence: float | None = None
    reasoning: str = ""
    alternatives: tuple[Alternative, ...] = ()


class TaskResult(_Part):
    """The result of a task. `summary` is a short text for lists, `raw_output` the whole answer (≤ 4 MiB).

    `size_bytes` and `sha256` are those of its UTF-8. `truncated`: the answer does not come to its end,
    and `summary` closes with the reason.
    """

    summary: str
    raw_output: str
    code_language: str | None = None
    citations: tuple[Citation, ...] = ()
    truncated: bool = False
    size_bytes: int | None = None
    sha256: str | None = None

    @classmethod
    def of(
        cls,
        raw_output: str,
        *,
        summary: str,
        code_language: str | None = None,
        citations: tuple[Citation, ...] = (),
        truncated: bool = False,
    ) -> Self:
        """Builds a result with its size and checksum."""
        encoded = raw_output.encode(errors="replace")
        return cls(
            summary=summary,
            raw_output=raw_output,
            code_language=code_language,
            citations=citations,
            truncated=truncated,
            size_bytes=len(encoded),
            sha256=hashlib.sha256(encoded).hexdigest(),
        )


class TaskError(_Part):
    """The error of a failed task. `type` is a code of `app.errors`; `message` is for people and holds no secret."""

    type: str
    message: str


class Lease(_Part):
    """The time limit of a claim: the worker and the claim, and the time (of the server) at which it ends."""

    owner: str
    claim_id: ClaimId
    expires_at: AwareDatetime


class TaskRequest(BaseModel):
    """The fields of a task that its caller sets. A field that the caller left out is None or has its default here.

    A new field is added at the end: the hash that an Idempotency-Key is compared by covers the fields in this order,
    and skips those that are None. A default other than None would change the hash of requests stored before an upgrade.
    """

    model_config = ConfigDict(frozen=True)

    task: str = Field(min_length=1, max_length=TASK_TEXT_LIMIT)
    session_id: SessionId | None = None
    agent: str | None = None
    priority: int = Field(default=0, ge=0, le=9)
    run_at: AwareDatetime | None = None
    deadline_seconds: int | None = None
    ttl_seconds: int | None = None
    max_attempts: int | None = Field(default=None, ge=1, le=100)
    budget: Budget | None = None
    metadata: dict[str, str] = Field(default_factory=dict)


class NewTask(TaskRequest):
    """An accepted request as it is inserted: with its owner, and with a value for each limit.

    The database server sets the times.
    """

    id: TaskId
    tenant: Tenant
    session_id: SessionId
    request_id: RequestId
    source: Source = Source()
    deadline_seconds: int = 900
    max_attempts: int = Field(default=3, ge=1, le=100)
    traceparent: str | None = None
    idempotency_key: str | None = None


class Task(NewTask):
    """The stored task. `rev` grows with every write except heartbeats and projection marks; times are server times.

    `epoch` counts claims and fences every write of a run. `attempts` counts the runs that began; `crashes`,
    `shared_crashes`, `retries`, `postponed` and `handbacks` count those that ended early. `processing_ms` is the time
    of all of them.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    status: TaskStatus
    rev: int
    epoch: int = 0
    lease: Lease | None = None
    attempts: int = 0
    crashes: int = 0
    shared_crashes: int = 0
    retries: int = 0
    postponed: int = 0
    handbacks: int = 0
    processing_ms: int = 0
    dispatch_seq: int = 0
    dispatched_at: AwareDatetime | None = None
    due_at: AwareDatetime | None = None
    cancel_requested_at: AwareDatetime | None = None
    created_at: AwareDatetime
    queued_at: AwareDatetime
    started_at: AwareDatetime | None = None
    completed_at: AwareDatetime | None = None
    updated_at: AwareDatetime
    changed_at: AwareDatetime
    selected_agent: str | None = None
    agent_type: str | None = None
    routing: Routing | None = None
    peer_routing_reason: str | None = None
    history: tuple[Message, ...] | None = None
    steps: dict[str, Step] = Field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    events: tuple[TaskEvent, ...] = ()
    result: TaskResult | None = None
    error: TaskError | None = None
    usage: Usage = NO_USAGE
    spending: Spending = Spending()
    erased_at: AwareDatetime | None = None

    def ordered_steps(self) -> list[Step]:
        return sorted(self.steps.values(), key=lambda step: step.sequence)


class TaskSummary(BaseModel):
    """A task in a list: the first 200 characters of its text, no result, no journal."""

    model_config = ConfigDict(frozen=True)

    id: TaskId
    session_id: SessionId
    status: TaskStatus
    task_preview: str
    selected_agent: str | None = None
    agent_type: str | None = None
    priority: int = 0
    created_at: AwareDatetime
    queued_at: AwareDatetime
    started_at: AwareDatetime | None = None
    completed_at: AwareDatetime | None = None
    error: TaskError | None = None
    usage: Usage = NO_USAGE


def other_version_delay(handbacks: int) -> float:
    """Returns the seconds until a task that needs another version's worker is offered again. They double each time."""
    return min(LONGEST_OTHER_VERSION_SECONDS, OTHER_VERSION_SECONDS * 2.0 ** min(handbacks, 10))
