"""The count of the tasks that workers hold, or that are dispatched and on their way to one.

There are about as many as the workers have slots. Both filters are ranges of the index `lanes`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from motor.motor_asyncio import AsyncIOMotorCollection

from app.domain.fairness import QUARANTINE_CRASHES, InFlight, Lane
from app.domain.identity import Tenant
from app.domain.task import TaskStatus

_CRASHES = {"$ifNull": ["$crashes", 0]}
_PROCESSING = {"status": TaskStatus.PROCESSING.value}
_DISPATCHED = {"status": TaskStatus.QUEUED.value, "lane": Lane.DISPATCHED.value}


async def count_in_flight(tasks: AsyncIOMotorCollection[dict[str, Any]]) -> InFlight:
    suspect = {"$gte": [_CRASHES, QUARANTINE_CRASHES]}
    group = {
        "_id": "$tenant",
        "number": {"$sum": 1},
        "suspects": {"$sum": {"$cond": [suspect, 1, 0]}},
        "suspicion": {"$max": {"$cond": [suspect, {"$ifNull": ["$shared_crashes", 0]}, 0]}},
    }
    by_tenant: Counter[Tenant] = Counter()
    processing = suspects = suspicion = 0
    for which in (_PROCESSING, _DISPATCHED):  # not one `$or`: the embedded server reads all documents for it
        for found in await tasks.aggregate([{"$match": which}, {"$group": group}]).to_list():
            by_tenant[Tenant(found["_id"])] += found["number"]
            processing += found["number"] if which is _PROCESSING else 0
            suspects += found["suspects"]
            # Another program may have written a text, which the server counts as larger than every number.
            suspicion = max(suspicion, int(found["suspicion"]) if isinstance(found["suspicion"], int | float) else 0)
    return InFlight(by_tenant=by_tenant, processing=processing, suspects=suspects, suspicion=suspicion)
