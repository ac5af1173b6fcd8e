"""Load on a running system: a client submits tasks and reads their results, and measures both.

The load shares the machine with the system that it measures, so its client is a cheap one (aiohttp). The system is the
product, unless a `TaskApi` describes another one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import aiohttp

from app.domain.task import TERMINAL

CODE_TASK = "Write a Python function that reverses a string, number {number}."
CONNECTIONS = 32
POLL_SECONDS = 0.05
WAIT_SECONDS = 60  # the longest wait that the product allows by default
LONGEST_PAUSE_SECONDS = 0.5  # the interval of the slowest poll among the measured systems, that of LangGraph's server


class TaskApi(Protocol):
    """The HTTP API of a system, as far as a load uses it. Bodies and answers are JSON objects of that system."""

    def build_submission(self, number: int) -> tuple[str, dict[str, Any]]:
        """Builds the path and the body of the POST that submits a task, and that is answered at once."""
        ...

    def build_waiting_submission(self, number: int) -> tuple[str, dict[str, Any]]:
        """Builds the path and the body of the POST that submits a task, and that is answered at the task's end."""
        ...

    def find_path(self, accepted: dict[str, Any]) -> str:
        """Returns the path at which an accepted task is read."""
        ...

    def has_ended(self, task: dict[str, Any]) -> bool: ...


@dataclass(frozen=True)
class ProductApi:
    """The product's API. `agent` names the agent that answers; without it the router chooses, by another call."""

    agent: str | None = None

    def build_submission(self, number: int) -> tuple[str, dict[str, Any]]:
        body = {"task": CODE_TASK.format(number=number)}
        return "/v1/agent/execute", body if self.agent is None else {**body, "agent": self.agent}

    def build_waiting_submission(self, number: int) -> tuple[str, dict[str, Any]]:
        path, body = self.build_submission(number)
        return f"{path}?wait={WAIT_SECONDS}", body

    def find_path(self, accepted: dict[str, Any]) -> str:
        return f"/v1/tasks/{accepted['task_id']}"

    def has_ended(self, task: dict[str, Any]) -> bool:
        return task["status"] in TERMINAL


@dataclass
class Measurement:
    """The measurement of some tasks. `seconds` are those from the first submit to the last result read."""

    seconds: float
    tasks: list[dict[str, Any]]
    accept_ms: list[float]

    def to_first_call_ms(self) -> list[float]:
        """Returns the time from acceptance to the first model call of each task, in milliseconds.

        API and worker share this machine's clock, so their times can be compared.
        """
        return [
            (datetime.fromisoformat(_first_call(task)) - datetime.fromisoformat(task["created_at"])).total_seconds()
            * 1000
            for task in self.tasks
        ]


def _first_call(task: dict[str, Any]) -> str:
    calls = [attempt["started_at"] for step in task["steps"] for attempt in step["attempts"]]
    return str(min(calls))


async def submit_burst(api_url: str, count: int, api: TaskApi = ProductApi()) -> Measurement:
    """Submits `count` tasks as fast as the API accepts them, and reads every result."""
    async with _client(api_url, api) as client:
        paths = await asyncio.gather(*(client.submit(number) for number in range(count)))
        return await client.measure(paths)


async def submit_one_by_one(api_url: str, count: int, api: TaskApi) -> tuple[list[float], list[dict[str, Any]]]:
    """Submits `count` tasks, each after the end of the one before and a pause.

    Returns the milliseconds of each task from its POST to its end, and the answers. Each POST is answered at the task's
    end, so the time contains no polling by the client. The pauses grow evenly up to the longest one: without them each
    POST would come at the same moment of a system that polls, just after it has looked.
    """
    timed = []
    async with _client(api_url, api) as client:
        for number in range(count):
            await asyncio.sleep(LONGEST_PAUSE_SECONDS * number / count)
            timed.append(await client.submit_and_wait(number))
    return [milliseconds for milliseconds, _ in timed], [answer for _, answer in timed]


async def submit_steadily(api_url: str, *, per_second: float, count: int) -> Measurement:
    """Submits `count` tasks at an even rate, and reads every result after the last submit."""
    async with _client(api_url, ProductApi()) as client:
        submits = []
        for number in range(count):
            submits.append(asyncio.create_task(client.submit(number)))
            await asyncio.sleep(max(0.0, client.began + (number + 1) / per_second - time.perf_counter()))
        return await client.measure(await asyncio.gather(*submits))


@dataclass
class _Client:
    session: aiohttp.ClientSession
    api: TaskApi
    limit: asyncio.Semaphore
    began: float
    accept_ms: list[float] = field(default_factory=list)

    async def submit(self, number: int) -> str:
        """Submits a task and returns the path at which it is read."""
        path, body = self.api.build_submission(number)
        async with self.limit:  # the wait for a connection is no part of the time to accept
            milliseconds, accepted = await self._post(path, body)
            self.accept_ms.append(milliseconds)
        return self.api.find_path(accepted)

    async def submit_and_wait(self, number: int) -> tuple[float, dict[str, Any]]:
        """Submits a task and waits for its end. Returns the milliseconds of that, and the answer."""
        return await self._post(*self.api.build_waiting_submission(number))

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        began = time.perf_counter()
        async with self.session.post(path, json=body) as answer:
            content: dict[str, Any] = await answer.json()
        return (time.perf_counter() - began) * 1000, content

    async def measure(self, paths: Sequence[str]) -> Measurement:
        """Reads the results of the tasks, and so ends the measurement."""
        tasks = [await self._read(path) for path in paths]
        return Measurement(time.perf_counter() - self.began, tasks, self.accept_ms)

    async def _read(self, path: str) -> dict[str, Any]:
        while True:
            async with self.limit, self.session.get(path) as answer:
                task: dict[str, Any] = await answer.json()
            if self.api.has_ended(task):
                return task
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def _client(api_url: str, api: TaskApi) -> AsyncIterator[_Client]:
    async with aiohttp.ClientSession(
        api_url,
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        timeout=aiohttp.ClientTimeout(total=60),
        raise_for_status=True,
    ) as session:
        yield _Client(session, api, asyncio.Semaphore(CONNECTIONS), time.perf_counter())
