"""The REST API for the command line and the demo: one call per method, problems as one kind of error.

Answers are plain JSON objects, so that a field of a newer API reaches `--json` unchanged.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from uuid import UUID

import httpx

from app.cli.failure import CommandFailed, CommandRefused, ExitCode
from app.cli.invocation import pasteable

TIMEOUT_SECONDS = 30.0
FIRST_POLL_SECONDS = 0.1
LONGEST_POLL_SECONDS = 2.0
# Polls grow from ten a second to 30 a minute: a quarter of what the API allows a key by default.
POLL_GROWTH = 1.2
# A supervisor has a dead API back in seconds; a rollout in a cluster takes a minute or so.
OUTAGE_SECONDS = 120.0
_BEGINNING_OF_ID = re.compile(r"[0-9a-fA-F-]{4,35}")
_CANDIDATES_SHOWN = 5

Json = dict[str, Any]


class ApiFailed(CommandFailed):
    """A call without an answer, or a refusal. The message advises; `code` is the problem's code, None without one."""

    def __init__(self, message: str, *, code: str | None = None, exit_code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code


class ApiUnreachable(ApiFailed):
    """A call without an answer, or a refusal that passes: the API, or a server that it needs, is unavailable."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message, code=code, exit_code=ExitCode.UNREACHABLE)


class ApiClient:
    """A REST client, to be used as a context manager. Every method raises ApiFailed."""

    def __init__(self, url: str, *, key: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self.url = url
        # Proxy variables are ignored: a proxy cannot reach the loopback address of this machine.
        try:
            self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_seconds, trust_env=False)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise CommandRefused("The API's address or the key has a character that cannot be sent.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._http.close()

    def submit(self, body: Mapping[str, object], *, idempotency_key: str | None = None) -> Json:
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self._request("POST", "/v1/agent/execute", json=dict(body), headers=headers)

    def find_id(self, beginning: str) -> str:
        """Returns the id of the task whose id begins so, or a whole id as it is.

        Raises CommandRefused if no task's id or several begin so, ApiFailed.
        """
        if _is_uuid(beginning):
            return beginning
        if not _BEGINNING_OF_ID.fullmatch(beginning):
            advice = "write one as `list` shows it, or at least its first four characters"
            raise CommandRefused(f"{beginning} is no task's id: {advice}.")
        page = self.list_tasks({"id_prefix": beginning, "limit": _CANDIDATES_SHOWN})
        found = page["items"]
        if not found:
            raise CommandRefused(f"No task's id begins with {beginning}; `list` shows the newest tasks.")
        if len(found) > 1:
            lines = [f"The ids of several tasks begin with {beginning}; write more of the one that you mean:"]
            lines += [f"  {task['task_id']}  {task['status']}  {task['created_at']}" for task in found]
            raise CommandRefused("\n".join([*lines, "  …"] if page["next_cursor"] is not None else lines))
        task_id: str = found[0]["task_id"]
        return task_id

    def get(self, task_id: str) -> Json:
        return self._request("GET", f"/v1/tasks/{quote(task_id, safe='')}")

    def list_tasks(self, filters: Mapping[str, str | int | None]) -> Json:
        present = {name: value for name, value in filters.items() if value is not None}
        return self._request("GET", "/v1/tasks", params=present)

    def cancel(self, task_id: str) -> Json:
        return self._request("POST", f"/v1/tasks/{quote(task_id, safe='')}/cancel")

    def runs(self, task_id: str) -> Json:
        return self._request("GET", f"/v1/tasks/{quote(task_id, safe='')}/runs")

    def agents(self) -> Json:
        return self._request("GET", "/v1/agents")

    def session(self, session_id: str) -> Json:
        return self._request("GET", f"/v1/sessions/{quote(session_id, safe='')}")

    def erase_session(self, session_id: str) -> None:
        self._request("DELETE", f"/v1/sessions/{quote(session_id, safe='')}")

    def system_metrics(self) -> Json:
        return self._request("GET", "/v1/system/metrics")

    def follow(
        self, task_id: str, *, on_outage: Callable[[], None] | None = None, known: bool = False
    ) -> Iterator[Json]:
        """Yields the task each time it has changed, until it has ended. Polls fast at first, later every 2 s.

        An API that gives no answer for a while is waited for, after one call of `on_outage`: the task goes on. That is
        so from the first answer on, or from the start if the task is `known` to exist.
        """
        from app.domain.task import TERMINAL  # here alone: pydantic would slow down the start of every other command

        seen: object = None
        pause_seconds = FIRST_POLL_SECONDS
        while True:
            task = self._get_through_outage(task_id, on_outage) if known else self.get(task_id)
            known = True
            if task["updated_at"] != seen:
                seen = task["updated_at"]
                yield task
            if task["status"] in TERMINAL:
                return
            time.sleep(pause_seconds)
            pause_seconds = min(LONGEST_POLL_SECONDS, pause_seconds * POLL_GROWTH)

    def _get_through_outage(self, task_id: str, on_outage: Callable[[], None] | None) -> Json:
        give_up_at: float | None = None
        while True:
            try:
                return self.get(task_id)
            except ApiUnreachable:
                if give_up_at is None:
                    give_up_at = time.monotonic() + OUTAGE_SECONDS
                    if on_outage is not None:
                        on_outage()
                if time.monotonic() > give_up_at:
                    raise
            time.sleep(LONGEST_POLL_SECONDS / 4)

    def _request(self, method: str, path: str, **options: Any) -> Json:
        try:
            response = self._http.request(method, path, **options)
        except (httpx.LocalProtocolError, UnicodeError) as error:
            raise CommandRefused(
                "The request cannot be sent: a text is no valid UTF-8, or the API key or the idempotency key has a "
                "character that no header may have."
            ) from error
        except httpx.HTTPError as error:
            raise ApiUnreachable(
                f"No answer from {self.url} ({type(error).__name__}); is it running? Start it with: "
                f"{pasteable('up')}, or name another address with --api"
            ) from error
        # Only a read waits and repeats. A refused POST is reported, and the caller decides whether to repeat it.
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS and method == "GET":
            time.sleep(float(response.headers.get("Retry-After", "1")))
            return self._request(method, path, **options)
        if response.is_error:
            raise _to_failure(response)
        answer: Json = response.json() if response.content else {}
        return answer


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _to_failure(response: httpx.Response) -> ApiFailed:
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if response.status_code in (502, 503, 504) and (not isinstance(problem, dict) or "detail" not in problem):
        return ApiUnreachable(f"{response.url.host} answered {response.status_code}: the API behind it is unavailable.")
    if not isinstance(problem, dict) or "detail" not in problem:
        return ApiFailed(
            f"{response.url} answered {response.status_code}; is this the API's address? Name it with --api."
        )
    # The API names commands by their usual name: it cannot know how this one was called.
    detail = str(problem["detail"]).replace("`agent-orchestrator ", f"`{pasteable('')}")
    lines = [f"{detail} ({problem.get('code')})"]
    fields = [wrong for wrong in problem.get("errors", ()) if wrong["message"] != problem["detail"]]
    lines += [f"  {wrong['field']}: {wrong['message']}" for wrong in fields]
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return ApiUnreachable("\n".join(lines), code=problem.get("code"))
    fault = response.is_server_error
    return ApiFailed(
        "\n".join(lines), code=problem.get("code"), exit_code=ExitCode.FAILED if fault else ExitCode.REFUSED
    )
