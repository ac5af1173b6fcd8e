"""Duties that run beside the work of a process, for as long as it lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from app.telemetry.logs import get_logger, origin

RESTART_SECONDS = 1.0

_log = get_logger(__name__)


async def keep_running(name: str, duty: Callable[[], Awaitable[None]]) -> None:
    """Runs the duty until cancelled; one that ends or fails is begun again a second later."""
    while True:
        try:
            await duty()
        except Exception as error:  # noqa: BLE001  # the edge of a duty: a fault in it must not end it for good
            _log.error("background_duty_failed", duty=name, error_class=type(error).__name__, where=origin(error))
        await asyncio.sleep(RESTART_SECONDS)
