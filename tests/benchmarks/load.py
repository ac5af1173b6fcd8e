"""Load on a running stack: submit and read as clients do, and what it took.

The load shares the machine with what it measures, so its client is a cheap one.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

from app.domain.task import TERMINAL

CODE_TASK = "Write a Python function that reverses a string, number {number}."
CONNECTIONS = 32
POLL_SECONDS = 0.05


@dataclass
class Burst:
    """What a burst of tasks took, in seconds from the first submit to the last result read."""

    seconds: float
    tasks: list[dict[str, Any]]
    accept_ms: list[float] = field(default_factory=list)

    def to_first_call_ms(self) -> list[float]:
        """From acceptance to the first model call of each task; server and worker share this machine's clock."""
        return [
            (datetime.fromisoformat(_first_call(task)) - datetime.fromisoformat(task["created_at"])).total_seconds()
            * 1000
            for task in self.tasks
        ]


def _first_call(task: dict[str, Any]) -> str:
    calls = [attempt["started_at"] for step in task["steps"] for attempt in step["attempts"]]
    return str(min(calls))


async def burst(api_url: str, count: int) -> Burst:
    """Submits so many tasks as fast as the API takes them, and reads every result."""
    async with _client(api_url) as client:
        gate = asyncio.Semaphore(CONNECTIONS)
        accept_ms: list[float] = []
        began = time.perf_counter()
        ids = await asyncio.gather(*(_submit(client, gate, number, accept_ms) for number in range(count)))
        tasks = [await _read(client, gate, task_id) for task_id in ids]
        return Burst(time.perf_counter() - began, tasks, accept_ms)


async def steady(api_url: str, *, per_second: float, count: int) -> Burst:
    """Submits at an even rate, each result read by `Prefer: wait`."""
    async with _client(api_url) as client:
        gate = asyncio.Semaphore(CONNECTIONS)
        accept_ms: list[float] = []
        began = time.perf_counter()
        submits = []
        for number in range(count):
            submits.append(asyncio.create_task(_submit(client, gate, number, accept_ms)))
            await asyncio.sleep(max(0.0, began + (number + 1) / per_second - time.perf_counter()))
        ids = await asyncio.gather(*submits)
        tasks = [await _read(client, gate, task_id) for task_id in ids]
        return Burst(time.perf_counter() - began, tasks, accept_ms)


def _client(api_url: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        api_url,
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        timeout=aiohttp.ClientTimeout(total=60),
        raise_for_status=True,
    )


async def _submit(client: aiohttp.ClientSession, gate: asyncio.Semaphore, number: int, accept_ms: list[float]) -> str:
    body = {"task": CODE_TASK.format(number=number)}
    async with gate:
        began = time.perf_counter()
        async with client.post("/v1/agent/execute", json=body) as answer:
            accepted = await answer.json()
        accept_ms.append((time.perf_counter() - began) * 1000)
    return str(accepted["task_id"])


async def _read(client: aiohttp.ClientSession, gate: asyncio.Semaphore, task_id: str) -> dict[str, Any]:
    while True:
        async with gate, client.get(f"/v1/tasks/{task_id}") as answer:
            task: dict[str, Any] = await answer.json()
        if task["status"] in TERMINAL:
            return task
        await asyncio.sleep(POLL_SECONDS)
