"""Settings of the agents and the router."""

from __future__ import annotations

from pydantic import Field, field_validator

from app.settings.group import CommaList, SettingsGroup, split


class AgentSettings(SettingsGroup):
    """The router's threshold, further agents, and feature flags."""

    routing_min_confidence: float = Field(
        default=0.5,
        ge=0,
        le=1,
        validation_alias="AGENT_ROUTING_MIN_CONFIDENCE",
        description="Confidence below which the router answers UNKNOWN_TASK_TYPE.",
    )
    plugins: CommaList = Field(
        default=(),
        validation_alias="AGENT_PLUGINS",
        description="Further agents as `module:attribute`, beside the entry points `agent_orchestrator.agents`.",
    )
    enabled: bool = Field(
        default=True,
        validation_alias="FF_AGENTS_ENABLED",
        description="Used by WorkflowAgent, which comes later; it has no effect yet.",
    )
    llm_fallback: bool = Field(
        default=True,
        validation_alias="FF_AGENTS_LLM_FALLBACK",
        description="Off: only the first model of a chain is asked.",
    )

    _split_lists = field_validator("plugins", mode="before")(split)
