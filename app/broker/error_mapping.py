"""The one map from errors of Redis to ours. Callers that use Celery add its errors, so that others need no Celery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from app.errors import BrokerUnavailable, BrokerUnsuitable

_REFUSALS = {
    OutOfMemoryError: "it is full (maxmemory is reached, and its policy evicts nothing)",
    ReadOnlyError: "it is a replica; connect to the primary",
}
# The client has no class for these replies; each has this word in its text, though not always as the first.
_OTHER_REFUSALS = {
    "NOREPLICAS": "it has fewer replicas than min-replicas-to-write asks for",
    "MISCONF": "it cannot save its data to disk",
}
# Replies of a cluster alone: to a key of another node, to keys of two slots, and while slots have no node.
_OF_CLUSTER = (MovedError, AskError, ClusterCrossSlotError, ClusterDownError)
_CLUSTER_ADVICE = (
    "Redis Cluster is not supported: let REDIS_URL (and CELERY_BROKER_URL) name a server with cluster mode off."
)
_SENTINEL_ADVICE = (
    "This Redis lacks a command that is needed, as every Sentinel does: let REDIS_URL (and CELERY_BROKER_URL) name the "
    "primary itself."
)


@contextmanager
def broker_errors(action: str, *others: type[Exception]) -> Iterator[None]:
    """Maps the errors of the clients, and `others`, to BrokerUnavailable. `action` names the operation.

    A reply that is an error tells the reason: Redis works, and refuses.
    """
    failures: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError, *others)
    try:
        yield
    except failures as error:
        refusal = error if isinstance(error, ResponseError) else error.__cause__  # Celery wraps it
        if isinstance(refusal, ResponseError):
            if advice := _unsuitable(refusal):
                raise BrokerUnsuitable(advice) from error
            raise BrokerUnavailable(f"Redis refused the request to {action}: {_reason(refusal)}.") from error
        raise BrokerUnavailable(f"Redis did not answer the request to {action}; try again") from error


def _unsuitable(refusal: ResponseError) -> str | None:
    """Returns the advice if the server is of a kind that can never work."""
    if isinstance(refusal, _OF_CLUSTER):
        return _CLUSTER_ADVICE
    return _SENTINEL_ADVICE if "unknown command" in str(refusal) else None


def _reason(error: ResponseError) -> str:
    """Names the reason of a refusal, never in the server's words: they may quote a command with its arguments."""
    by_word = (reason for word, reason in _OTHER_REFUSALS.items() if word in str(error))
    return _REFUSALS.get(type(error)) or next(by_word, type(error).__name__)
