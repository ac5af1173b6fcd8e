"""The agents that workers have published. The API has no other source for them.

Entries never expire by themselves: a task may wait for an agent whose workers are all down. If two versions publish the
same agent during a rolling update, the one published last stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import ASCENDING, UpdateOne

from app.domain.agent import AgentCard
from app.storage.mongo import Database, store_errors
from app.storage.writes import literal


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
        return [AgentCard.model_validate({**document, "name": document["_id"]}) for document in documents]


def _write(card: AgentCard) -> UpdateOne:
    fields = card.model_dump(exclude={"name", "published_at"})
    # The whole entry is replaced: a field that this version does not publish shall not stay behind from another one.
    entry = {"$mergeObjects": [{"_id": "$_id"}, literal(fields), {"published_at": "$$NOW"}]}
    return UpdateOne({"_id": card.name}, [{"$replaceWith": entry}], upsert=True)
