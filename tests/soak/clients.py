"""Clients of a soak: they submit with an idempotency key, and repeat each request until the answer is 202."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp

CONNECTIONS = 16
PAUSE_SECONDS = 0.2


async def submit_all(api_url: str, texts: Mapping[str, str], accepted: dict[str, str]) -> None:
    """Submits a task with each text, and records its id under the text's key. Goes on through any outage."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    gate = asyncio.Semaphore(CONNECTIONS)
    async with aiohttp.ClientSession(api_url, connector=connector, timeout=aiohttp.ClientTimeout(total=15)) as client:

        async def submit(key: str, text: str) -> None:
            while key not in accepted:
                async with gate:
                    task_id = await _try(client, key, text)
                if task_id is None:
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    accepted[key] = task_id

        await asyncio.gather(*(submit(key, text) for key, text in texts.items()))


async def _try(client: aiohttp.ClientSession, key: str, text: str) -> str | None:
    """Returns the task's id; None if the request may be repeated. Raises ClientResponseError if it may not."""
    try:
        async with client.post("/v1/agent/execute", json={"task": text}, headers={"Idempotency-Key": key}) as answer:
            if answer.status in (429, 503):
                return None
            answer.raise_for_status()
            return str((await answer.json())["task_id"])
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
        return None
