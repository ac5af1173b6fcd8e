"""Whether tickets are fetched: not while anything speaks against it. Belongs to the runtime's event loop."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Consuming(Protocol):
    """What fetches tickets from the queue; safe to call from any thread."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Objection(StrEnum):
    """Why no tickets are fetched."""

    DRAINED = "drained"
    STORE_AWAY = "store_away"


class Consumption:
    """Pauses the consumer with the first objection and resumes it when the last is gone."""

    def __init__(self) -> None:
        self._consuming: Consuming | None = None
        self._objections: set[Objection] = set()

    def control(self, consuming: Consuming) -> None:
        """The consumer is there; from now on it is paused and resumed."""
        self._consuming = consuming
        if self._objections:
            consuming.pause()

    @property
    def paused(self) -> bool:
        return bool(self._objections)

    def object(self, objection: Objection) -> None:
        if not self._objections and self._consuming is not None:
            self._consuming.pause()
        self._objections.add(objection)

    def withdraw(self, objection: Objection) -> None:
        if self._objections == {objection} and self._consuming is not None:
            self._consuming.resume()
        self._objections.discard(objection)
