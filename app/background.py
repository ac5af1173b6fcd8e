"""Duties that run beside the work of a process, for as long as it lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from app.telemetry.logs import get_logger, origin

RESTART_SECONDS = 1.0

_log = get_logger(__name__)


async def keep_running(name: str, duty: Callable[[], Awaitable[None]]) -> None:
    """Runs the duty until cancelled; one that ends or fails is begun again a second later."""
    while True:
        try:
            await duty()
            _log.error("background_duty_ended", duty=name)
        except Exception as error:  # noqa: BLE001  # the edge of a duty: a fault in it must not end it for good
            for cause in _causes(error):
                _log.error("background_duty_failed", duty=name, error_class=type(cause).__name__, where=origin(cause))
        await asyncio.sleep(RESTART_SECONDS)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exceptions themselves where a group of tasks raised them together."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _causes(one)
    else:
        yield error
