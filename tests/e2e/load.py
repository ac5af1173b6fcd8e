"""A constant load of tasks from a separate thread for the duration of a test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.e2e.installation import Installation

TEXT = "Write a Python function that adds {number} to a number."


class Load:
    """A load of `pace` tasks per second, which may change at any time. `created` are the names of the tasks."""

    def __init__(self, submit: Callable[[int], str], pace: float) -> None:
        self._submit = submit
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._failure: Exception | None = None
        self.pace = pace
        self.created: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stops the load. Raises the error that ended it too early, if there was one."""
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            try:
                self.created.append(self._submit(len(self.created)))
            except httpx.HTTPError as failure:
                self._failure = failure
                return
            due += 1 / self.pace


@contextmanager
def load(installation: Installation, prefix: str, *, pace: float) -> Iterator[Load]:
    """Creates `pace` AgentTasks per second; `created` are their names. The first refusal ends it with its error."""

    def create(number: int) -> str:
        name = f"{prefix}-{number}"
        installation.create(name, TEXT.format(number=number))
        return name

    with _running(Load(create, pace)) as one:
        yield one


@contextmanager
def requests(installation: Installation, *, pace: float) -> Iterator[Load]:
    """Submits `pace` tasks per second over REST; `created` are their ids. The first refusal ends it with its error."""

    def post(number: int) -> str:
        answer = installation.tasks.post("/v1/agent/execute", json={"task": TEXT.format(number=number)})
        return str(_accepted(answer)["task_id"])

    with _running(Load(post, pace)) as one:
        yield one


def _accepted(answer: httpx.Response) -> Any:
    """Returns the answer's body. Raises httpx.HTTPStatusError with the body of a refusal, which names its sender."""
    if answer.is_error:
        message = f"{answer.status_code} {answer.reason_phrase}: {answer.text}"
        raise httpx.HTTPStatusError(message, request=answer.request, response=answer)
    return answer.json()


@contextmanager
def _running(one: Load) -> Iterator[Load]:
    one.start()
    try:
        yield one
    finally:
        one.stop()
