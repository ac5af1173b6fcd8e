"""Settings of Redis: the queue of tickets, presence and limits."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from app.settings.group import SettingsGroup
from app.settings.urls import check_redis_url, check_result_backend


class BrokerSettings(SettingsGroup):
    """The Redis servers and the name of the queue."""

    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        validation_alias="REDIS_URL",
        description="Redis or Valkey for the queue, limits, breakers and presence.",
    )
    celery_broker_url: SecretStr | None = Field(
        default=None,
        validation_alias="CELERY_BROKER_URL",
        description="Another Redis for the Celery queue alone; REDIS_URL when not set.",
    )
    celery_result_backend: SecretStr | None = Field(
        default=None,
        validation_alias="CELERY_RESULT_BACKEND",
        description="Result backend for tools that need one. Unset: none, because results are stored in MongoDB.",
    )
    queue: str = Field(
        default="agent_tasks",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        validation_alias="AGENT_QUEUE_NAME",
        description="Name of the queue of tickets.",
    )

    _check_addresses = field_validator("redis_url", "celery_broker_url")(check_redis_url)
    _check_backend = field_validator("celery_result_backend")(check_result_backend)

    @property
    def tickets_url(self) -> SecretStr:
        """The Redis server that holds the queue of tickets."""
        return self.celery_broker_url or self.redis_url
