"""Whether the operator's duties are alive: each says so as it goes round, and a probe asks."""

from __future__ import annotations

import time
from collections.abc import Mapping

SILENT_SECONDS = 120.0


class Pulse:
    """`watch` a duty before it runs; one that is silent for longer than its time is dead."""

    def __init__(self) -> None:
        self._allowed: dict[str, float] = {}
        self._beaten_at: dict[str, float] = {}

    def watch(self, duty: str, *, silent_seconds: float = SILENT_SECONDS) -> None:
        self._allowed[duty] = silent_seconds
        self.beat(duty)

    def beat(self, duty: str) -> None:
        self._beaten_at[duty] = time.monotonic()

    def silent_seconds(self) -> Mapping[str, float]:
        """Since when each duty has said nothing."""
        now = time.monotonic()
        return {duty: now - self._beaten_at[duty] for duty in self._allowed}

    def dead(self) -> list[str]:
        return [duty for duty, seconds in self.silent_seconds().items() if seconds > self._allowed[duty]]
