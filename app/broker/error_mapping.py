"""The one map from Redis' errors to ours; Celery's are named by who uses Celery, so that others need no Celery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from app.errors import BrokerUnavailable


@contextmanager
def broker_errors(action: str, *others: type[Exception]) -> Iterator[None]:
    """Maps whatever the clients raise inside, and `others`. `action` says what was tried ("publish a ticket")."""
    failures: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError, *others)
    try:
        yield
    except failures as error:
        raise BrokerUnavailable(f"Redis did not answer while it was asked to {action}; try again") from error
