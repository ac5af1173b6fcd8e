"""The roster: the agents that workers have published, remembered for a few seconds."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.agent import AgentCard
from app.errors import UnknownAgent
from app.ports import AgentDirectory, Clock
from app.services.remembered import Remembered

FRESH_SECONDS = 5.0


class AgentRoster:
    """The published agents, as this process last read them."""

    def __init__(self, directory: AgentDirectory, clock: Clock) -> None:
        self._directory = directory
        self._cards: Remembered[None, Sequence[AgentCard]] = Remembered(self._read, seconds=FRESH_SECONDS, clock=clock)

    async def list_all(self) -> Sequence[AgentCard]:
        """Returns the agents, at most five seconds old. Raises StoreUnavailable."""
        return await self._cards.get(None)

    async def require(self, name: str) -> None:
        """Raises UnknownAgent with the known names, StoreUnavailable.

        Accepts any name until the first worker has published its agents: the worker that claims the task decides then.
        """
        if any(card.name == name for card in await self.list_all()):
            return
        # A worker of a new version may have published this agent since the roster was last read.
        names = [card.name for card in await self._cards.read_again(None)]
        if names and name not in names:
            raise UnknownAgent(f"There is no agent {name}. Name one of: {', '.join(names)}.", known=names)

    async def _read(self, _: None) -> Sequence[AgentCard]:
        return await self._directory.list_all()
