"""The one map from errors of Redis to ours. Callers that use Celery add its errors, so that others need no Celery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from app.errors import BrokerUnavailable


@contextmanager
def broker_errors(action: str, *others: type[Exception]) -> Iterator[None]:
    """Maps the errors of the clients, and `others`, to BrokerUnavailable. `action` names the operation."""
    failures: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError, *others)
    try:
        yield
    except failures as error:
        raise BrokerUnavailable(f"Redis did not answer the request to {action}; try again") from error
