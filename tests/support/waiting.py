"""How a test waits: for a condition, and not for longer than it says."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_SECONDS = 0.1


def wait_for(look: Callable[[], bool], *, seconds: float = 30, every: float = LOOK_SECONDS, what: str) -> None:
    """Looks `every` so many seconds; returns as soon as it is so, and fails the test where it is not so in time."""
    give_up_at = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < give_up_at, f"waited {seconds:g} s in vain: {what}"
        time.sleep(every)
