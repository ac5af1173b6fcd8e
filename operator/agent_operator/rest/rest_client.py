"""The REST API as the operator uses it: hand a task in once, cancel it, ask where tasks stand, follow what changes.

Every call says which tenant it is for; the operator's key has the role service.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from app.domain.task import TaskStatus

DEFAULT_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 15.0
WAIT_MARGIN_SECONDS = 10.0
REQUEST_SECONDS = 30.0
CONNECT_SECONDS = 5.0
CONNECTIONS = 64
# Where the API itself says so, waiting does not help; all else may be the trouble of a proxy, a key or an address.
REFUSALS = frozenset({400, 404, 409, 410, 413, 415, 422})
NOT_THE_API = frozenset({None, "ROUTE_NOT_FOUND"})
# After other errors of servers, and after no answer, what was asked for may have been done.
NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
NOTHING_DONE = frozenset({"INTAKE_PAUSED"})
GONE_CODES = frozenset({"TASK_NOT_FOUND", "TASK_ERASED"})

Kind = TypeVar("Kind", bound=BaseModel)


class OrchestratorError(Exception):
    """Root of what a call may raise; `code` is stable, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class OrchestratorAway(OrchestratorError):
    """No answer, or not now; trying again helps after `retry_seconds`.

    `uncertain`: what was asked for may be done, or be done yet.
    """

    def __init__(self, code: str, message: str, *, retry_seconds: float, uncertain: bool = False) -> None:
        super().__init__(code, message)
        self.retry_seconds = retry_seconds
        self.uncertain = uncertain


class OrchestratorRefused(OrchestratorError):
    """The request will never be taken as it is."""


class TaskGone(OrchestratorRefused):
    """The task is not there: unknown, or erased."""


class KeyTaken(OrchestratorRefused):
    """The idempotency key has made another task: `task_id`."""

    def __init__(self, code: str, message: str, *, task_id: str) -> None:
        super().__init__(code, message)
        self.task_id = task_id


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class TaskSource(_Part):
    cluster: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None


class TaskRouting(_Part):
    agent_name: str
    confidence: float | None = None
    reasoning: str = ""


class TaskUsage(_Part):
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float | None = None


class TaskDigest(_Part):
    summary: str
    size_bytes: int | None = None
    sha256: str | None = None


class TaskProblem(_Part):
    type: str
    message: str


class TaskState(_Part):
    """Where a task stands after its revision `rev`."""

    task_id: str
    tenant: str
    rev: int
    status: TaskStatus
    idempotency_key: str | None = None
    source: TaskSource = TaskSource()
    selected_agent: str | None = None
    routing: TaskRouting | None = None
    attempts: int = 0
    queued_at: AwareDatetime
    started_at: AwareDatetime | None = None
    completed_at: AwareDatetime | None = None
    usage: TaskUsage = TaskUsage()
    result: TaskDigest | None = None
    error: TaskProblem | None = None
    trace_id: str | None = None
    erased: bool = False


class ChangesAnswer(_Part):
    items: tuple[TaskState, ...]
    cursor: str
    more: bool


class LookupAnswer(_Part):
    items: tuple[TaskState, ...]
    next_cursor: str | None = None


class Key:
    """The service key; from a file it is read anew when the file has changed, so that it can be rotated."""

    def __init__(self, value: str, path: Path | None = None) -> None:
        self._value = value
        self._path = path
        self._stamp: tuple[int, int] | None = None

    def headers(self) -> dict[str, str]:
        """Raises OrchestratorAway where the file cannot be read."""
        if self._path is not None:
            self._read(self._path)
        return {"X-API-Key": self._value} if self._value else {}

    def _read(self, path: Path) -> None:
        try:
            found = path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp != self._stamp:
                self._value, self._stamp = path.read_text().strip(), stamp
        except OSError as error:
            message = f"AGENT_OPERATOR_API_KEY_FILE cannot be read ({error.strerror})."
            raise OrchestratorAway("KEY_UNREADABLE", message, retry_seconds=DEFAULT_RETRY_SECONDS) from error


def open_session(url: str) -> aiohttp.ClientSession:
    """To be used in this event loop, and closed by who asked for it."""
    return aiohttp.ClientSession(
        base_url=url.rstrip("/") + "/",
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS, connect=CONNECT_SECONDS),
    )


@dataclass(frozen=True)
class Orchestrator:
    """`session` has the base URL."""

    session: aiohttp.ClientSession
    key: Key

    async def submit(self, body: Mapping[str, Any], *, tenant: str, key: str) -> str:
        """The id of the task that this key makes, or has made. Raises OrchestratorAway, -Refused, KeyTaken.

        `key` is a UUID; its digits become the id of the task's trace, so that who knows the object finds the trace.
        """
        headers = {"Idempotency-Key": key, "traceparent": f"00-{key.replace('-', '')}-{secrets.token_hex(8)}-01"}
        answer = await self._call("POST", "/v1/agent/execute", tenant=tenant, json=body, headers=headers)
        return str(answer["task_id"])

    async def cancel(self, task_id: str, *, tenant: str) -> None:
        """Asks the task to stop; one that has ended stays as it is. Raises OrchestratorAway, TaskGone."""
        await self._call("POST", f"/v1/tasks/{task_id}/cancel", tenant=tenant)

    async def find(self, task_ids: Sequence[str]) -> Sequence[TaskState]:
        """Those of the tasks that are there. Raises OrchestratorAway, OrchestratorRefused."""
        return _read(LookupAnswer, await self._call("POST", "/v1/tasks/lookup", json={"ids": list(task_ids)})).items

    async def find_by_key(self, key: str, *, tenant: str) -> TaskState | None:
        """The task that the key has made. Raises OrchestratorAway, OrchestratorRefused."""
        answer = await self._call("POST", "/v1/tasks/lookup", tenant=tenant, json={"idempotency_keys": [key]})
        return next(iter(_read(LookupAnswer, answer).items), None)

    async def unfinished(self, cluster: str, cursor: str | None = None) -> LookupAnswer:
        """A page of the cluster's tasks that have not ended. Raises OrchestratorAway, OrchestratorRefused."""
        body: dict[str, Any] = {"source": {"cluster": cluster}} | ({} if cursor is None else {"cursor": cursor})
        return _read(LookupAnswer, await self._call("POST", "/v1/tasks/lookup", json=body))

    async def changes(self, cursor: str | None, *, limit: int, wait_seconds: float) -> ChangesAnswer:
        """What has changed after the cursor; waits for a first change. Raises OrchestratorAway, OrchestratorRefused."""
        query = {"limit": str(limit), "wait_seconds": str(wait_seconds)}
        query |= {} if cursor is None else {"cursor": cursor}
        timeout = aiohttp.ClientTimeout(total=wait_seconds + WAIT_MARGIN_SECONDS, connect=CONNECT_SECONDS)
        return _read(ChangesAnswer, await self._call("GET", "/v1/tasks/changes", params=query, timeout=timeout))

    async def drain(self, worker_id: str, *, seconds: int) -> None:
        """The worker takes no tasks for so long. Raises OrchestratorAway, OrchestratorRefused where it is unknown."""
        await self._call("POST", f"/v1/system/workers/{worker_id}/drain", json={"seconds": seconds})

    async def undrain(self, worker_id: str) -> None:
        """The worker takes tasks again. Raises OrchestratorAway, OrchestratorRefused where it is unknown."""
        await self._call("DELETE", f"/v1/system/workers/{worker_id}/drain")

    async def keep_decision(self, decision: Mapping[str, Any]) -> None:
        """A decision of the autoscaler, for those who ask why. Raises OrchestratorAway, OrchestratorRefused."""
        await self._call("POST", "/v1/system/autoscaler", json=decision)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        tenant: str | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Any:
        named = self.key.headers() | ({} if tenant is None else {"X-Tenant": tenant})
        try:
            async with self.session.request(
                method, path.lstrip("/"), headers={**named, **(headers or {})}, allow_redirects=False, **options
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            message = f"The API does not answer ({type(error).__name__})."
            uncertain = not isinstance(error, NEVER_SENT)
            raise OrchestratorAway(
                "API_UNREACHABLE", message, retry_seconds=DEFAULT_RETRY_SECONDS, uncertain=uncertain
            ) from error
        document = _document(body)
        if answer.status < HTTPStatus.MULTIPLE_CHOICES and document is not None:
            return document
        raise _failure(answer.status, answer.headers.get("Retry-After"), document or {})


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _failure(status: int, retry_after: str | None, problem: Mapping[str, Any]) -> OrchestratorError:
    code = str(problem.get("code") or f"HTTP_{status}")
    message = str(problem.get("detail") or f"The API answered {status}.")
    fields = "; ".join(
        f"{error.get('field')} {error.get('message')}"
        for error in problem.get("errors") or ()
        if isinstance(error, dict)
    )
    if fields:
        message = f"{message} {fields}."
    if status == HTTPStatus.CONFLICT and problem.get("task_id"):
        return KeyTaken(code, message, task_id=str(problem["task_id"]))
    if code in GONE_CODES:
        return TaskGone(code, message)
    if status in REFUSALS and problem.get("code") not in NOT_THE_API:
        return OrchestratorRefused(code, message)
    uncertain = status >= HTTPStatus.INTERNAL_SERVER_ERROR and code not in NOTHING_DONE
    return OrchestratorAway(code, message, retry_seconds=_retry_seconds(retry_after), uncertain=uncertain)


def _retry_seconds(retry_after: str | None) -> float:
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return DEFAULT_RETRY_SECONDS
    return min(max(1.0, seconds), LONGEST_RETRY_SECONDS)


def _read(kind: type[Kind], body: Any) -> Kind:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        message = f"The API's answer is not understood: {error.error_count()} fields; is it of another version?"
        raise OrchestratorRefused("ANSWER_NOT_UNDERSTOOD", message) from error
