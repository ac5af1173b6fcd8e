"""Load on a running stack: a client submits tasks and reads their results, and measures both.

The load shares the machine with the system that it measures, so its client is a cheap one (aiohttp).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

from app.domain.task import TERMINAL

CODE_TASK = "Write a Python function that reverses a string, number {number}."
CONNECTIONS = 32
POLL_SECONDS = 0.05


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


async def submit_burst(api_url: str, count: int) -> Measurement:
    """Submits `count` tasks as fast as the API accepts them, and reads every result."""
    async with _client(api_url) as client:
        ids = await asyncio.gather(*(client.submit(number) for number in range(count)))
        return await client.measure(ids)


async def submit_steadily(api_url: str, *, per_second: float, count: int) -> Measurement:
    """Submits `count` tasks at an even rate, and reads every result after the last submit."""
    async with _client(api_url) as client:
        submits = []
        for number in range(count):
            submits.append(asyncio.create_task(client.submit(number)))
            await asyncio.sleep(max(0.0, client.began + (number + 1) / per_second - time.perf_counter()))
        return await client.measure(await asyncio.gather(*submits))


@dataclass
class _Client:
    session: aiohttp.ClientSession
    limit: asyncio.Semaphore
    began: float
    accept_ms: list[float] = field(default_factory=list)

    async def submit(self, number: int) -> str:
        body = {"task": CODE_TASK.format(number=number)}
        async with self.limit:  # the wait for a connection is no part of the time to accept
            began = time.perf_counter()
            async with self.session.post("/v1/agent/execute", json=body) as answer:
                accepted = await answer.json()
            self.accept_ms.append((time.perf_counter() - began) * 1000)
        return str(accepted["task_id"])

    async def measure(self, task_ids: Sequence[str]) -> Measurement:
        """Reads the results of the tasks, and so ends the measurement."""
        tasks = [await self._read(task_id) for task_id in task_ids]
        return Measurement(time.perf_counter() - self.began, tasks, self.accept_ms)

    async def _read(self, task_id: str) -> dict[str, Any]:
        while True:
            async with self.limit, self.session.get(f"/v1/tasks/{task_id}") as answer:
                task: dict[str, Any] = await answer.json()
            if task["status"] in TERMINAL:
                return task
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def _client(api_url: str) -> AsyncIterator[_Client]:
    async with aiohttp.ClientSession(
        api_url,
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        timeout=aiohttp.ClientTimeout(total=60),
        raise_for_status=True,
    ) as session:
        yield _Client(session, asyncio.Semaphore(CONNECTIONS), time.perf_counter())
