"""The parts of a write to a task document: always a pipeline, a new revision and the server's clock.

Values from outside are wrapped in `$literal`, so that a text like "$rev" stays text. A lifecycle event is in the same
write as its change. `$$NOW` is used in pipelines only. Filters get the server's time as a value: an index can use it,
and one compatible server refuses `$$NOW` beside an index.
"""

from __future__ import annotations

from typing import Any

from app.domain.run import EventName

# A task that is requeued again and again must not outgrow its document; the newest events are kept.
EVENTS_KEPT = 100
Expression = Any  # an aggregation expression: nested documents, lists, strings and numbers, as the driver takes them


def literal(value: Expression) -> Expression:
    return {"$literal": value}


def still(value: str | int) -> dict[str, Any]:
    """Builds the condition that a field of a document, which is found by its id, has the value.

    It matches what equality matches. For each equality the embedded server reads its catalog of indexes three times, to
    see whether it could look the field up: a twentieth of a write.
    """
    return {"$all": [value]}


def milliseconds(expression: Expression) -> Expression:
    """Converts the expression's date to integer milliseconds."""
    # The embedded server compares dates with `$$NOW` wrongly: `$lt` is always false, `$lte` always true. Numbers work.
    return {"$toLong": expression}


def later(seconds: float) -> Expression:
    """Adds the seconds to the server's time."""
    return _from_now(round(seconds * 1000))


def _from_now(after: Expression) -> Expression:
    """Adds the expression's milliseconds to the server's time."""
    # SecantusDB's server in Rust adds numbers to numbers only.
    return {"$toDate": {"$add": [milliseconds("$$NOW"), after]}}


def change(
    fields: dict[str, Expression], *, event: EventName | None = None, detail: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Builds a pipeline that sets the fields and advances the revision.

    With an event it also appends the event and marks the task for projection.
    """
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
    """Builds the fields for the end of a run: the lease is removed, its time is added, and the ticket is used up."""
    return {
        "lease": "$$REMOVE",
        "dispatched_at": "$$REMOVE",
        "claimed_at": "$$REMOVE",
        "processing_ms": {
            "$add": [
                {"$ifNull": ["$processing_ms", 0]},
                # Not below 0: after a fail-over the clock of the new primary may be behind the time of the claim.
                {"$max": [0, {"$subtract": [milliseconds(run_ends_at), milliseconds("$claimed_at")]}]},
            ]
        },
    }


def task_ended(status: str) -> dict[str, Expression]:
    """Builds the fields for the end of a task, with the time of its removal if it has a time to live."""
    return {
        "status": literal(status),
        "completed_at": "$$NOW",
        "dispatched_at": "$$REMOVE",
        "delayed_until": "$$REMOVE",
        "remove_at": {
            "$cond": [
                {"$gt": [{"$ifNull": ["$ttl_seconds", None]}, None]},
                _from_now({"$multiply": [{"$ifNull": ["$ttl_seconds", 0]}, 1000]}),
                "$$REMOVE",
            ]
        },
    }
