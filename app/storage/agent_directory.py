"""The agents that workers have published. The API has no other source for them.

Workers publish once a minute. An agent that was last published an hour before the newest one is in no version any more,
and is not listed. If all workers are down, all agents stay: a task may wait for them. If two versions publish the same
agent during a rolling update, the one published last stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pymongo import ASCENDING, UpdateOne

from app.domain.agent import AgentCard
from app.storage.mongo import Database, store_errors
from app.storage.writes import literal

FORGOTTEN_AFTER = timedelta(hours=1)


class MongoAgentDirectory:
    """Implements `app.ports.AgentDirectory` on the collection `agents`; the ids are the agents' names."""

    def __init__(self, db: Database) -> None:
        self._agents = db["agents"]

    async def publish(self, cards: Sequence[AgentCard]) -> None:
        if not cards:
            return
        with store_errors("publish agents"):
            await self._agents.bulk_write([_write(card) for card in cards], ordered=False)

    async def list_all(self) -> Sequence[AgentCard]:
        with store_errors("list agents"):
            documents = await self._agents.find({}).sort("_id", ASCENDING).to_list()
        cards = [AgentCard.model_validate({**document, "name": document["_id"]}) for document in documents]
        newest = max((card.published_at for card in cards if card.published_at is not None), default=None)
        return [card for card in cards if newest is None or _current(card, newest)]


def _current(card: AgentCard, newest: datetime) -> bool:
    return card.published_at is not None and newest - card.published_at < FORGOTTEN_AFTER


def _write(card: AgentCard) -> UpdateOne:
    fields = card.model_dump(exclude={"name", "published_at"})
    # The whole entry is replaced: a field that this version does not publish shall not stay behind from another one.
    entry = {"$mergeObjects": [{"_id": "$_id"}, literal(fields), {"published_at": "$$NOW"}]}
    return UpdateOne({"_id": card.name}, [{"$replaceWith": entry}], upsert=True)
