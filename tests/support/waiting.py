"""The wait of a test for a condition, with a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_SECONDS = 0.1


def wait_for(condition: Callable[[], bool], *, seconds: float = 30, every: float = POLL_SECONDS, what: str) -> None:
    """Checks the condition `every` so many seconds until it holds. Fails the test if it does not hold in time."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"not seen within {seconds:g} s: {what}"
        time.sleep(every)
