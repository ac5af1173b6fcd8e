"""The last decisions of the autoscaler. They explain the current number of workers."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import DESCENDING

from app.domain.scaling import ScalingDecision
from app.storage.mongo import Database, store_errors

KEPT = 200


class MongoScalingLog:
    """Implements `app.ports.ScalingLog` on the collection `scaling_decisions`."""

    def __init__(self, db: Database) -> None:
        self._decisions = db["scaling_decisions"]

    async def add(self, decision: ScalingDecision) -> None:
        with store_errors("store a decision of the autoscaler"):
            # The operator sends a decision again if the reply was lost. It must not be stored twice.
            same = {"at": decision.at, "deployment": decision.deployment}
            await self._decisions.replace_one(same, decision.model_dump(), upsert=True)
            oldest = self._decisions.find({}, {"at": 1}).sort("at", DESCENDING).skip(KEPT - 1).limit(1)
            async for document in oldest:
                await self._decisions.delete_many({"at": {"$lt": document["at"]}})

    async def latest(self) -> Sequence[ScalingDecision]:
        with store_errors("read the autoscaler's decisions"):
            found = self._decisions.find({}, {"_id": 0}).sort("at", DESCENDING).limit(KEPT)
            return [ScalingDecision.model_validate(document) async for document in found]
