"""Clients of a soak: they submit with an idempotency key, and repeat each request until the answer is 202."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp

CONNECTIONS = 16
PAUSE_SECONDS = 0.2
TEXT = "Write a Python function that adds {number} to a number."


async def submit_all(api_url: str, keys: Sequence[str], accepted: dict[str, str]) -> None:
    """Submits one task for each key, and records its id under the key. Goes on through any outage."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    gate = asyncio.Semaphore(CONNECTIONS)
    async with aiohttp.ClientSession(api_url, connector=connector, timeout=aiohttp.ClientTimeout(total=15)) as client:

        async def submit(number: int, key: str) -> None:
            while key not in accepted:
                async with gate:
                    task_id = await _try(client, number, key)
                if task_id is None:
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    accepted[key] = task_id

        await asyncio.gather(*(submit(number, key) for number, key in enumerate(keys)))


async def _try(client: aiohttp.ClientSession, number: int, key: str) -> str | None:
    """Returns the task's id; None if the request may be repeated. Raises ClientResponseError if it may not."""
    body = {"task": TEXT.format(number=number)}
    try:
        async with client.post("/v1/agent/execute", json=body, headers={"Idempotency-Key": key}) as answer:
            if answer.status in (429, 503):
                return None
            answer.raise_for_status()
            return str((await answer.json())["task_id"])
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
        return None
