"""The client of the REST API: submits a task once, cancels it, reads states of tasks and follows their changes.

A call for one tenant names it in `X-Tenant`; the operator's key has the role service, which may act for all tenants.
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
from pydantic import BaseModel, ValidationError

from agent_operator.rest.task_state import ChangesAnswer, LookupAnswer, TaskState
from app.outbound.key_file import KeyFile
from app.ports import Clock
from app.system_clock import SystemClock

EXECUTE = "/v1/agent/execute"
DEFAULT_RETRY_SECONDS = 5.0
# Retry-After may be longer, but an API that is back shall not wait longer than this for the objects that wait.
LONGEST_RETRY_SECONDS = 15.0
# A long poll answers at the end of its wait at the latest; the rest of the time is for the network and a busy API.
WAIT_MARGIN_SECONDS = 10.0
REQUEST_SECONDS = 30.0
# The API reads all unfinished tasks for a page of one cluster's, for up to two minutes.
UNFINISHED_SECONDS = 130.0
CONNECT_SECONDS = 5.0
CONNECTIONS = 64
# After a refusal the key before is sent for this long. Each refused try counts against the address's rate limit.
FORMER_SECONDS = 5.0
# If the API itself answers one of these, waiting does not help. Other statuses may come from a proxy, a wrong key or a
# wrong address, which an operator's user can correct while the objects wait.
REFUSALS = frozenset({400, 404, 409, 410, 413, 415, 422})
NOT_THE_API = frozenset({None, "ROUTE_NOT_FOUND"})
# After a 5xx or without an answer, the API may have done what was requested, or may still do it. These errors of
# connecting are the exception: the request was never sent.
NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
# The API checks its intake switch before it writes anything.
NOTHING_DONE = frozenset({"INTAKE_PAUSED"})
# Fields of a submission that an API of the version before refuses. It runs beside a newer operator during an update.
NEWER_FIELDS = frozenset({"source.namespace_uid", "source.shift"})
GONE_CODES = frozenset({"TASK_NOT_FOUND", "TASK_ERASED"})

Kind = TypeVar("Kind", bound=BaseModel)


class RestError(Exception):
    """Root of the errors that a call may raise; `code` is stable, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RestUnavailable(RestError):
    """The API did not answer, or cannot do it now; a retry after `retry_seconds` may succeed.

    `uncertain`: the API may have done what was requested, or may still do it.
    """

    def __init__(self, code: str, message: str, *, retry_seconds: float, uncertain: bool = False) -> None:
        super().__init__(code, message)
        self.retry_seconds = retry_seconds
        self.uncertain = uncertain


class RestRefused(RestError):
    """The API will never accept this request. `fields` are those that it names as wrong."""

    fields: frozenset[str] = frozenset()


class TaskGone(RestRefused):
    """The API has no such task, or it was erased."""


class KeyTaken(RestRefused):
    """The idempotency key belongs to a task with another body: `task_id`."""

    def __init__(self, code: str, message: str, *, task_id: str) -> None:
        super().__init__(code, message)
        self.task_id = task_id


class ServiceKey:
    """The service key, from a variable or from a file that may be replaced while the operator runs.

    The API may read a replaced file a minute later than the operator. Until then the key before still counts there.
    """

    def __init__(self, value: str, path: Path | None = None, clock: Clock | None = None) -> None:
        self._value = value
        self._former = ""
        self._former_until = float("-inf")
        self._file = None if path is None else KeyFile(path)
        self._clock = clock or SystemClock()

    def headers(self) -> dict[str, str]:
        """Returns the header with the current key. Raises RestUnavailable if the file cannot be read."""
        if self._file is not None:
            self._refresh(self._file)
        use_former = self._clock.monotonic() < self._former_until
        return _header(self._former if use_former else self._value)

    def fall_back(self, refused: Mapping[str, str]) -> bool:
        """Returns for a while to the key before, if the API has refused the current one; False if there is none."""
        if not self._former or refused != _header(self._value):
            return False
        self._former_until = self._clock.monotonic() + FORMER_SECONDS
        return True

    def _refresh(self, file: KeyFile) -> None:
        try:
            if file.changed():
                self._replace(file.read())
        except OSError as error:
            # Retried like an outage: a Secret that is being replaced, or not mounted yet, becomes readable by itself.
            message = (
                f"The key file of AGENT_OPERATOR_API_KEY_FILE cannot be read ({error.strerror}). "
                "Check the path and its permissions."
            )
            raise RestUnavailable("KEY_UNREADABLE", message, retry_seconds=DEFAULT_RETRY_SECONDS) from error

    def _replace(self, value: str) -> None:
        if value != self._value:
            self._former, self._value, self._former_until = self._value, value, float("-inf")


def _header(key: str) -> dict[str, str]:
    return {"X-API-Key": key} if key else {}


def open_session(url: str) -> aiohttp.ClientSession:
    """Opens a session for this event loop. The caller closes it."""
    return aiohttp.ClientSession(
        base_url=url.rstrip("/") + "/",  # without the slash, aiohttp drops the last part of the URL's path
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS, connect=CONNECT_SECONDS),
    )


@dataclass(frozen=True)
class RestClient:
    """The client of the REST API. `session` has the base URL."""

    session: aiohttp.ClientSession
    key: ServiceKey

    async def submit(self, body: Mapping[str, Any], *, tenant: str, key: str) -> str:
        """Submits a task and returns its id; the same `key` always returns the same task.

        Raises RestUnavailable, RestRefused, KeyTaken. `key` is a UUID. Its digits become the id of the task's trace, so
        anyone who knows the object finds the trace.
        """
        headers = {"Idempotency-Key": key, "traceparent": f"00-{key.replace('-', '')}-{secrets.token_hex(8)}-01"}
        try:
            answer = await self._call("POST", EXECUTE, tenant=tenant, json=body, headers=headers)
        except RestRefused as refusal:
            if not refusal.fields & NEWER_FIELDS:
                raise
            answer = await self._call("POST", EXECUTE, tenant=tenant, json=_for_older_api(body), headers=headers)
        return str(answer["task_id"])

    async def cancel(self, task_id: str, *, tenant: str) -> None:
        """Requests the end of a task; a task that has ended does not change. Raises RestUnavailable, TaskGone."""
        await self._call("POST", f"/v1/tasks/{task_id}/cancel", tenant=tenant)

    async def find(self, task_ids: Sequence[str]) -> Sequence[TaskState]:
        """Reads the states of these tasks; leaves out the unknown ones. Raises RestUnavailable, RestRefused."""
        return _parsed(LookupAnswer, await self._call("POST", "/v1/tasks/lookup", json={"ids": list(task_ids)})).items

    async def find_by_key(self, key: str, *, tenant: str) -> TaskState | None:
        """Reads the state of the task that was submitted with this key. Raises RestUnavailable, RestRefused."""
        answer = await self._call("POST", "/v1/tasks/lookup", tenant=tenant, json={"idempotency_keys": [key]})
        return next(iter(_parsed(LookupAnswer, answer).items), None)

    async def find_unfinished(self, cluster: str, cursor: str | None = None) -> LookupAnswer:
        """Reads a page of the cluster's tasks that have not ended. Raises RestUnavailable, RestRefused."""
        body: dict[str, Any] = {"source": {"cluster": cluster}} | ({} if cursor is None else {"cursor": cursor})
        timeout = aiohttp.ClientTimeout(total=UNFINISHED_SECONDS, connect=CONNECT_SECONDS)
        return _parsed(LookupAnswer, await self._call("POST", "/v1/tasks/lookup", json=body, timeout=timeout))

    async def read_changes(self, cursor: str | None, *, limit: int, wait_seconds: float) -> ChangesAnswer:
        """Reads the changes after the cursor, or waits up to `wait_seconds` for the first one.

        Raises RestUnavailable, RestRefused.
        """
        query = {"limit": str(limit), "wait_seconds": str(wait_seconds)}
        query |= {} if cursor is None else {"cursor": cursor}
        timeout = aiohttp.ClientTimeout(total=wait_seconds + WAIT_MARGIN_SECONDS, connect=CONNECT_SECONDS)
        return _parsed(ChangesAnswer, await self._call("GET", "/v1/tasks/changes", params=query, timeout=timeout))

    async def drain(self, worker_id: str, *, seconds: int) -> None:
        """Has the worker claim no tasks for `seconds`.

        Raises RestUnavailable, and RestRefused if there is no such worker.
        """
        await self._call("POST", f"/v1/system/workers/{worker_id}/drain", json={"seconds": seconds})

    async def undrain(self, worker_id: str) -> None:
        """Has the worker claim tasks again.

        Raises RestUnavailable, and RestRefused if there is no such worker.
        """
        await self._call("DELETE", f"/v1/system/workers/{worker_id}/drain")

    async def record_decision(self, decision: Mapping[str, Any]) -> None:
        """Adds a decision of the autoscaler to the list that the API shows. Raises RestUnavailable, RestRefused."""
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
        named = {**({} if tenant is None else {"X-Tenant": tenant}), **(headers or {})}
        key = self.key.headers()
        answer = await self._request(method, path, headers={**key, **named}, **options)
        if answer.status == HTTPStatus.UNAUTHORIZED and self.key.fall_back(key):
            answer = await self._request(method, path, headers={**self.key.headers(), **named}, **options)
        if answer.status < HTTPStatus.MULTIPLE_CHOICES and answer.document is not None:
            return answer.document
        raise _failure(answer.status, answer.retry_after, answer.document or {})

    async def _request(self, method: str, path: str, **options: Any) -> _Answer:
        try:
            # No redirects: the key must not go to another address, and a redirected POST would become a GET.
            async with self.session.request(method, path.lstrip("/"), allow_redirects=False, **options) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            message = f"The API does not answer ({type(error).__name__})."
            uncertain = not isinstance(error, NEVER_SENT)
            raise RestUnavailable(
                "API_UNREACHABLE", message, retry_seconds=DEFAULT_RETRY_SECONDS, uncertain=uncertain
            ) from error
        return _Answer(answer.status, answer.headers.get("Retry-After"), _document(body))


@dataclass(frozen=True)
class _Answer:
    """An answer of the API; `document` is None if its body is no JSON object."""

    status: int
    retry_after: str | None
    document: dict[str, Any] | None


def _for_older_api(body: Mapping[str, Any]) -> dict[str, Any]:
    source = {name: value for name, value in body["source"].items() if f"source.{name}" not in NEWER_FIELDS}
    return {**body, "source": source}


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _failure(status: int, retry_after: str | None, problem: Mapping[str, Any]) -> RestError:
    code = str(problem.get("code") or f"HTTP_{status}")
    message = str(problem.get("detail") or f"The API answered {status}.")
    wrong = [error for error in problem.get("errors") or () if isinstance(error, dict)]
    # A problem with one field may have told it in its detail already.
    told = [f"{error.get('field')} {error.get('message')}" for error in wrong if error.get("message") != message]
    if told:
        message = f"{message} {'; '.join(told).rstrip('.')}."
    if status == HTTPStatus.CONFLICT and problem.get("task_id"):
        return KeyTaken(code, message, task_id=str(problem["task_id"]))
    if code in GONE_CODES:
        return TaskGone(code, message)
    if status in REFUSALS and problem.get("code") not in NOT_THE_API:
        refusal = RestRefused(code, message)
        refusal.fields = frozenset(str(error.get("field")) for error in wrong)
        return refusal
    uncertain = status >= HTTPStatus.INTERNAL_SERVER_ERROR and code not in NOTHING_DONE
    return RestUnavailable(code, message, retry_seconds=_retry_seconds(retry_after), uncertain=uncertain)


def _retry_seconds(retry_after: str | None) -> float:
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return DEFAULT_RETRY_SECONDS
    return min(max(1.0, seconds), LONGEST_RETRY_SECONDS)


def _parsed(kind: type[Kind], body: Any) -> Kind:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        message = (
            f"The API's answer has {error.error_count()} fields that this operator does not understand. "
            "Run the operator and the API in the same version."
        )
        raise RestRefused("ANSWER_NOT_UNDERSTOOD", message) from error
