"""Settings of the worker processes."""

from __future__ import annotations

from pydantic import Field

from app.settings.group import SettingsGroup


class WorkerSettings(SettingsGroup):
    """The slots, the probe and the end of a worker process."""

    concurrency: int = Field(
        default=64,
        ge=1,
        le=1_000,
        validation_alias="AGENT_WORKER_CONCURRENCY",
        description="Tasks one worker process runs at once.",
    )
    metrics_port: int = Field(
        default=9100,
        ge=1024,
        le=65535,
        validation_alias="AGENT_METRICS_PORT",
        description="Port of the worker's /metrics and health probe.",
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        validation_alias="AGENT_METRICS_HOST",
        description="Address of the worker's /metrics and health probe.",
    )
    grace_seconds: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        validation_alias="AGENT_WORKER_GRACE_SECONDS",
        description="Time running tasks have after SIGTERM before they are handed back, in seconds.",
    )
    max_memory_mb: int | None = Field(
        default=None,
        ge=64,
        validation_alias="AGENT_WORKER_MAX_MEMORY_MB",
        description="Resident memory, in MB, at which a worker stops as on SIGTERM, to be restarted. Unset: never.",
    )
    name: str | None = Field(
        default=None,
        validation_alias="AGENT_WORKER_NAME",
        description="Name of the worker in presence and leases. Unset: the host name.",
    )
