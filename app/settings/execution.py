"""Settings of the execution of tasks: leases, deadlines, attempts, fairness."""

from __future__ import annotations

from pydantic import Field

from app.domain.fairness import TenantPolicy
from app.settings.group import SettingsGroup


class ExecutionSettings(SettingsGroup):
    """The rules of execution, which the API and the workers must share."""

    lease_seconds: float = Field(
        default=30.0,
        ge=1,
        le=600,
        validation_alias="AGENT_LEASE_SECONDS",
        description="Time a claim lasts without a heartbeat, in seconds; heartbeats come every third of it.",
    )
    deadline_seconds: int = Field(
        default=900,
        ge=1,
        le=86_400,
        validation_alias="AGENT_TASK_DEADLINE_SECONDS",
        description="Maximum processing time of a task over all attempts, in seconds; it limits a caller's deadline.",
    )
    expiry_seconds: int = Field(
        default=86_400,
        ge=60,
        le=2_592_000,
        validation_alias="AGENT_TASK_EXPIRY_SECONDS",
        description="Age at which an unfinished task fails with EXPIRED, in seconds, counted from its due time.",
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        le=100,
        validation_alias="AGENT_TASK_MAX_ATTEMPTS",
        description="Crashes, and separately retries, after which a task fails; the default of a caller's number.",
    )
    tenant_max_running: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        validation_alias="AGENT_TENANT_MAX_RUNNING",
        description="Maximum tasks of one tenant that workers hold, unless its keys set a limit. Unset: no limit.",
    )
    tenant_max_queued: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        validation_alias="AGENT_TENANT_MAX_QUEUED",
        description="Maximum queued tasks of one tenant, unless its keys set a limit. Unset: no limit.",
    )
    retry_base_seconds: float = Field(
        default=1.0,
        ge=0.01,
        le=60,
        validation_alias="AGENT_TASK_RETRY_BASE_SECONDS",
        description="Base of the full-jitter backoff between attempts of a task, in seconds.",
    )
    retry_cap_seconds: float = Field(
        default=60.0,
        ge=0.01,
        le=3600,
        validation_alias="AGENT_TASK_RETRY_CAP_SECONDS",
        description="Longest backoff between attempts of a task, in seconds.",
    )
    max_crashes: int = Field(
        default=10,
        ge=1,
        le=1000,
        validation_alias="AGENT_TASK_MAX_CRASHES",
        description="Most crashes of one task, alone and beside others, whatever its own `max_attempts` allows.",
    )
    expected_service_seconds: float = Field(
        default=20.0,
        gt=0,
        le=86_400,
        validation_alias="AGENT_EXPECTED_SERVICE_SECONDS",
        description="Mean time of a task, in seconds, assumed until one has finished.",
    )
    history_tokens: int = Field(
        default=4_000,
        ge=0,
        le=200_000,
        validation_alias="AGENT_SESSION_HISTORY_TOKENS",
        description="Maximum tokens of earlier turns of a session that an agent gets.",
    )

    @property
    def tenant_policy(self) -> TenantPolicy:
        """The policy of a tenant whose keys set no limits."""
        return TenantPolicy(max_running=self.tenant_max_running, max_queued=self.tenant_max_queued)
