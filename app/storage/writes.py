"""How a task document is changed: always by a pipeline, always with a new revision, always on the server's clock.

Values that come from outside stand under `$literal`, so that a text like "$rev" stays text. A lifecycle event goes into
the same write as the change it tells of. `$$NOW` stands in pipelines only; filters get the server's time as a value: an
index can use it, and one compatible server refuses `$$NOW` beside an index.
"""

from __future__ import annotations

from typing import Any

from app.domain.run import EventName

EVENTS_KEPT = 100
Expression = Any  # an aggregation expression: nested documents, lists, strings and numbers, as the driver takes them


def literal(value: Expression) -> Expression:
    return {"$literal": value}


def milliseconds(expression: Expression) -> Expression:
    """The expression's date as integer milliseconds, comparable and subtractable on every server."""
    return {"$toLong": expression}


def later(seconds: float) -> Expression:
    """The server's time, that many seconds from now."""
    return {"$add": ["$$NOW", round(seconds * 1000)]}


def change(
    fields: dict[str, Expression], *, event: EventName | None = None, detail: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """A pipeline that sets the fields, advances the revision and, with an event, appends it and asks for projection."""
    stage: dict[str, Expression] = {
        **fields,
        "rev": {"$add": ["$rev", 1]},
        "changed_at": "$$NOW",
        "updated_at": "$$NOW",
    }
    if event is not None:
        stage["unprojected"] = literal(True)
        entry = {
            "rev": {"$add": ["$rev", 1]},
            "name": literal(event.value),
            "at": "$$NOW",
            "detail": literal(detail or {}),
        }
        stage["events"] = {"$slice": [{"$concatArrays": [{"$ifNull": ["$events", []]}, [entry]]}, -EVENTS_KEPT]}
    return [{"$set": stage}]


def run_ended(run_ends_at: Expression = "$$NOW") -> dict[str, Expression]:
    """Fields for the end of a run: the lease goes, its time counts, and no ticket stands for the task any more."""
    return {
        "lease": "$$REMOVE",
        "dispatched_at": "$$REMOVE",
        "claimed_at": "$$REMOVE",
        "processing_ms": {
            "$add": [
                {"$ifNull": ["$processing_ms", 0]},
                {"$max": [0, {"$subtract": [milliseconds(run_ends_at), milliseconds("$claimed_at")]}]},
            ]
        },
    }


def task_ended(status: str) -> dict[str, Expression]:
    """Fields for the end of a task; where it has a time to live, when it is to be removed."""
    return {
        "status": literal(status),
        "completed_at": "$$NOW",
        "dispatched_at": "$$REMOVE",
        "remove_at": {
            "$cond": [
                {"$gt": [{"$ifNull": ["$ttl_seconds", None]}, None]},
                {"$add": ["$$NOW", {"$multiply": [{"$ifNull": ["$ttl_seconds", 0]}, 1000]}]},
                "$$REMOVE",
            ]
        },
    }
