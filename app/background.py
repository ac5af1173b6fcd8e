"""Duties: coroutines that run beside the work of a process, for as long as the process lives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

from app.telemetry.logs import get_logger, origin

RESTART_SECONDS = 1.0

Duty = Callable[[], Awaitable[None]]

_log = get_logger(__name__)


@contextlib.asynccontextmanager
async def running_duties(duties: Mapping[str, Duty]) -> AsyncIterator[None]:
    """Keeps every duty running while the body runs; cancels all of them at its end and waits until they have ended."""
    running = [asyncio.create_task(keep_running(name, duty), name=name) for name, duty in duties.items()]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def keep_running(name: str, duty: Duty) -> None:
    """Runs the duty until it is cancelled. Starts a duty that ended or failed again a second later."""
    while True:
        try:
            await duty()
            _log.error("background_duty_ended", duty=name)
        except Exception as error:  # noqa: BLE001  # the edge of a duty: a fault in it must not end it for good
            for cause in _causes(error):
                _log.error("background_duty_failed", duty=name, error_class=type(cause).__name__, where=origin(cause))
        await asyncio.sleep(RESTART_SECONDS)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yields the exceptions themselves if a group of tasks raised them together."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _causes(one)
    else:
        yield error
