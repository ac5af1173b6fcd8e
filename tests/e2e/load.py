"""Tasks at an even pace, from a thread of its own, for as long as a story lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from tests.e2e.installation import Installation

TEXT = "Write a Python function that adds {number} to a number."


class Load:
    """`created` are the names of what was handed in; `pace` may be changed at any time."""

    def __init__(self, hand_in: Callable[[int], str], pace: float) -> None:
        self._hand_in = hand_in
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._failure: Exception | None = None
        self.pace = pace
        self.created: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Raises what had ended the load too soon, if anything."""
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            try:
                self.created.append(self._hand_in(len(self.created)))
            except httpx.HTTPError as failure:
                self._failure = failure
                return
            due += 1 / self.pace


@contextmanager
def load(installation: Installation, prefix: str, *, pace: float) -> Iterator[Load]:
    """AgentTasks, so many a second; `created` are their names. Ends with the error of the first that is refused."""

    def create(number: int) -> str:
        name = f"{prefix}-{number}"
        installation.create(name, TEXT.format(number=number))
        return name

    with _running(Load(create, pace)) as one:
        yield one


@contextmanager
def requests(installation: Installation, *, pace: float) -> Iterator[Load]:
    """Tasks over REST, so many a second; `created` are their ids. Ends with the error of the first that is refused."""

    def post(number: int) -> str:
        answer = installation.tasks.post("/v1/agent/execute", json={"task": TEXT.format(number=number)})
        return str(answer.raise_for_status().json()["task_id"])

    with _running(Load(post, pace)) as one:
        yield one


@contextmanager
def _running(one: Load) -> Iterator[Load]:
    one.start()
    try:
        yield one
    finally:
        one.stop()
