"""The one map from Redis' and Celery's errors to ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.errors import BrokerUnavailable


@contextmanager
def broker_errors(action: str) -> Iterator[None]:
    """Maps whatever the clients raise inside. `action` says what was tried ("publish a ticket")."""
    try:
        yield
    except (RedisError, OperationalError, OSError, TimeoutError) as error:
        raise BrokerUnavailable(f"Redis did not answer while it was asked to {action}; try again") from error
