"""The agents there are, as their workers published them, remembered for a few seconds."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.agent import AgentCard
from app.errors import UnknownAgent
from app.ports import AgentDirectory, Clock

FRESH_SECONDS = 5.0


class AgentRoster:
    def __init__(self, directory: AgentDirectory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._known: Sequence[AgentCard] = ()
        self._read_at = float("-inf")

    async def list_all(self) -> Sequence[AgentCard]:
        """At most five seconds old. Raises StoreUnavailable."""
        if self._clock.monotonic() - self._read_at >= FRESH_SECONDS:
            await self._read()
        return self._known

    async def require(self, name: str) -> None:
        """Raises UnknownAgent, naming those there are. Before the first worker has spoken, any name will do."""
        if any(card.name == name for card in await self.list_all()):
            return
        await self._read()
        names = [card.name for card in self._known]
        if names and name not in names:
            raise UnknownAgent(f"There is no agent {name}. Name one of: {', '.join(names)}.", known=names)

    async def _read(self) -> None:
        self._known = await self._directory.list_all()
        self._read_at = self._clock.monotonic()
