"""Settings of retention: how long documents stay in MongoDB."""

from __future__ import annotations

from pydantic import Field

from app.domain.task import LONGEST_TTL_SECONDS
from app.settings.group import SettingsGroup

HOUR = 3_600
DAY = 24 * HOUR
YEAR = 365 * DAY


class RetentionSettings(SettingsGroup):
    """The times after which the leading API process removes documents."""

    # A quarter: bills of models, reviews of incidents and reports look back as far.
    task_seconds: int = Field(
        default=90 * DAY,
        ge=0,
        le=LONGEST_TTL_SECONDS,
        validation_alias="AGENT_TASK_RETENTION_SECONDS",
        description="Time from a task's end to its removal, if its caller gave no ttl_seconds, in seconds; 0 keeps "
        "tasks for ever. It is stored with the task, so a change holds for new tasks.",
    )
    max_ttl_seconds: int = Field(
        default=YEAR,
        ge=1,
        le=LONGEST_TTL_SECONDS,
        validation_alias="AGENT_TASK_MAX_TTL_SECONDS",
        description="Longest ttl_seconds that a caller may ask for; that of an AgentTask is shortened to it.",
    )
    session_seconds: int = Field(
        default=30 * DAY,
        ge=HOUR,
        le=LONGEST_TTL_SECONDS,
        validation_alias="AGENT_SESSION_RETENTION_SECONDS",
        description="Time from the last use of a session to its removal, in seconds; one that has a task stays.",
    )
    key_seconds: int = Field(
        default=30 * DAY,
        ge=DAY,
        le=LONGEST_TTL_SECONDS,
        validation_alias="AGENT_IDEMPOTENCY_KEY_RETENTION_SECONDS",
        description="Age at which an idempotency key is forgotten, in seconds; one whose task is stored stays. A "
        "repeat of the request then makes a new task.",
    )
    log_seconds: int = Field(
        default=7 * DAY,
        ge=HOUR,
        validation_alias="AGENT_LOG_RETENTION_SECONDS",
        description="Time lifecycle events stay in the collection `logs`, in seconds.",
    )
