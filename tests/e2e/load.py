"""AgentTasks at an even pace, from a thread of its own, for as long as a story lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.e2e.installation import Installation

TEXT = "Write a Python function that adds {number} to a number."


class Load:
    """`created` are the names of the objects that are there; `pace` may be changed at any time."""

    def __init__(self, installation: Installation, prefix: str, pace: float) -> None:
        self._installation = installation
        self._prefix = prefix
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
            name = f"{self._prefix}-{len(self.created)}"
            try:
                self._installation.create(name, TEXT.format(number=len(self.created)))
            except httpx.HTTPError as failure:
                self._failure = failure
                return
            self.created.append(name)
            due += 1 / self.pace


@contextmanager
def load(installation: Installation, prefix: str, *, pace: float) -> Iterator[Load]:
    """`pace` is in tasks a second."""
    one = Load(installation, prefix, pace)
    one.start()
    try:
        yield one
    finally:
        one.stop()
