"""The models: keys, chains by role, limits, timeouts and prices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from app.settings.group import CommaList, SettingsGroup, split
from app.settings.urls import check_http_url

Effort = Literal["", "none", "minimal", "low", "medium", "high", "xhigh", "max"]
_EFFORTS = "none, minimal, low, medium, high, xhigh or max, as far as the model knows it; empty: the model's default"


class ProviderSettings(BaseModel):
    """The settings of one model provider. In `LLMSettings` the provider's name precedes the name of each field."""

    model_config = ConfigDict(frozen=True)

    api_key: SecretStr | None
    api_key_file: Path | None
    base_url: str | None
    calls_at_once: int | None
    calls_per_minute: int | None


class LLMSettings(SettingsGroup):
    """The models. Each provider has the five fields of `ProviderSettings`, under its name."""

    # Providers retire models: gpt-4.1 and gpt-4.1-mini end on 2027-01-14. So each chain has hops after the first, the
    # last of them at another provider, and a gauge shows the date on which a model in use ends.
    peer_model: str = Field(
        default="gpt-4.1-mini", validation_alias="LLM_PEER_MODEL", description="Chain of models of the router."
    )
    content_model: str = Field(
        default="gpt-4.1", validation_alias="LLM_CONTENT_MODEL", description="Chain of models of ContentAgent."
    )
    code_model: str = Field(
        default="gpt-6.1-terra", validation_alias="LLM_CODE_MODEL", description="Chain of models of CodeAgent."
    )
    primary_model: str = Field(
        default="gpt-4.1-mini",
        validation_alias="AGENT_PRIMARY_MODEL",
        description="Chain of models of every agent without one of its own.",
    )
    fallback_model: str = Field(
        default="gpt-6-luna,claude-sonnet-5-5",
        validation_alias="AGENT_FALLBACK_MODEL",
        description="Last hops of every chain. Empty: none.",
    )
    responses_models: CommaList = Field(
        default=("gpt-6*", "*codex*", "*-pro", "*-pro-*", "gpt-5.6-*"),
        validation_alias="AGENT_OPENAI_RESPONSES_MODELS",
        description="Patterns of OpenAI models asked over the responses endpoint: those that call tools only there.",
    )
    timeout_seconds: float = Field(
        default=5.0,
        ge=0.5,
        le=30,
        validation_alias="AGENT_LLM_TIMEOUT_SECONDS",
        description="Longest wait for the first byte of an answer and between two chunks, in seconds, of models that "
        "do not think, at their provider's own address.",
    )
    silence_seconds: float = Field(
        default=60.0,
        ge=5,
        le=900,
        validation_alias="AGENT_LLM_SILENCE_SECONDS",
        description="The same for thinking models, and for every model at a base URL of your own, in seconds.",
    )
    thinking_models: CommaList = Field(
        default=(
            "gpt-5*",
            "gpt-6*",
            "o1*",
            "o3*",
            "o4*",
            "claude-sonnet-5*",
            "claude-opus-5*",
            "claude-haiku-5*",
            "gemini-2.5*",
            "gemini-3*",
            "grok-4*",
            "gpt-oss*",
            "qwen3*",
            "qwq*",
            "deepseek-r*",
            "magistral*",
            "*thinking*",
            "*reason*",
        ),
        validation_alias="AGENT_THINKING_MODELS",
        description="Patterns of models that think before they answer; of `vendor/model` the last part counts too.",
    )
    thinking_tokens: int = Field(
        default=8_000,
        ge=0,
        le=100_000,
        validation_alias="AGENT_THINKING_TOKENS",
        description="Tokens that a thinking model may use beside AGENT_MAX_TOKENS: providers count both together.",
    )
    peer_effort: Effort = Field(
        default="low", validation_alias="LLM_PEER_EFFORT", description=f"How much the router may think: {_EFFORTS}."
    )
    content_effort: Effort = Field(
        default="", validation_alias="LLM_CONTENT_EFFORT", description=f"How much ContentAgent may think: {_EFFORTS}."
    )
    code_effort: Effort = Field(
        default="", validation_alias="LLM_CODE_EFFORT", description=f"How much CodeAgent may think: {_EFFORTS}."
    )
    primary_effort: Effort = Field(
        default="",
        validation_alias="AGENT_PRIMARY_EFFORT",
        description=f"How much every other agent may think: {_EFFORTS}.",
    )
    max_tokens: int = Field(
        default=4_000,
        ge=100,
        le=32_000,
        validation_alias="AGENT_MAX_TOKENS",
        description="Maximum tokens of one answer; a longer one is continued.",
    )
    max_continuations: int = Field(
        default=4,
        ge=0,
        le=20,
        validation_alias="AGENT_MAX_CONTINUATIONS",
        description="How often the same model is asked to go on with an answer that stopped at its maximum.",
    )
    openai_calls_at_once: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        validation_alias="AGENT_OPENAI_CALLS_AT_ONCE",
        description="Maximum concurrent calls of OpenAI, of all workers together. Unset: no limit.",
    )
    openai_calls_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        validation_alias="AGENT_OPENAI_CALLS_PER_MINUTE",
        description="Calls of OpenAI a minute, of all workers together; ten seconds' worth may come at once.",
    )
    anthropic_calls_at_once: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        validation_alias="AGENT_ANTHROPIC_CALLS_AT_ONCE",
        description="Maximum concurrent calls of Anthropic, of all workers together. Unset: no limit.",
    )
    anthropic_calls_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        validation_alias="AGENT_ANTHROPIC_CALLS_PER_MINUTE",
        description="Calls of Anthropic a minute, of all workers together; ten seconds' worth may come at once.",
    )
    http_max_retries: int = Field(
        default=3,
        ge=1,
        le=10,
        validation_alias="AGENT_HTTP_MAX_RETRIES",
        description="Tries of one model before the next one of the chain is asked.",
    )
    http_base_backoff_seconds: float = Field(
        default=0.2,
        ge=0.05,
        le=5,
        validation_alias="AGENT_HTTP_BASE_BACKOFF_SECONDS",
        description="Base of the full-jitter backoff between tries, in seconds.",
    )
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias="OPENAI_API_KEY", description="Key for OpenAI."
    )
    openai_api_key_file: Path | None = Field(
        default=None,
        validation_alias="OPENAI_API_KEY_FILE",
        description="File with the key for OpenAI, re-read when it changes.",
    )
    openai_base_url: str | None = Field(
        default=None, validation_alias="OPENAI_BASE_URL", description="Another OpenAI-compatible endpoint."
    )
    anthropic_api_key: SecretStr | None = Field(
        default=None, validation_alias="ANTHROPIC_API_KEY", description="Key for Anthropic."
    )
    anthropic_api_key_file: Path | None = Field(
        default=None,
        validation_alias="ANTHROPIC_API_KEY_FILE",
        description="File with the key for Anthropic, re-read when it changes.",
    )
    anthropic_base_url: str | None = Field(
        default=None, validation_alias="ANTHROPIC_BASE_URL", description="Another Anthropic-compatible endpoint."
    )
    breaker_failures: int = Field(
        default=5,
        ge=1,
        le=1_000,
        validation_alias="AGENT_BREAKER_FAILURES",
        description="Different tasks whose failures in a row open a circuit breaker.",
    )
    breaker_reset_seconds: float = Field(
        default=60.0,
        ge=0.1,
        le=3_600,
        validation_alias="AGENT_BREAKER_RESET_SECONDS",
        description="Time an open breaker waits before one probe, in seconds.",
    )
    retry_after_cap_seconds: float = Field(
        default=60.0,
        ge=1,
        le=3_600,
        validation_alias="AGENT_RETRY_AFTER_CAP_SECONDS",
        description="Longest pause for a provider's Retry-After, of a model and of a task, in seconds.",
    )
    price_overrides: Path | None = Field(
        default=None,
        validation_alias="AGENT_PRICES_FILE",
        description="JSON file {model or provider:model: {input_usd_per_million, output_usd_per_million}} over the "
        "price table, which holds only at the providers' own addresses.",
    )

    _split_lists = field_validator("responses_models", "thinking_models", mode="before")(split)

    @model_validator(mode="before")
    @classmethod
    def _read_empty_fallback(cls, values: dict[str, Any]) -> dict[str, Any]:
        # Elsewhere an empty variable counts as not set. Here the default would ask vendors that nobody named.
        empty = os.environ.get("AGENT_FALLBACK_MODEL") == ""
        return {"AGENT_FALLBACK_MODEL": "", **values} if empty and "fallback_model" not in values else values

    _check_addresses = field_validator("openai_base_url", "anthropic_base_url")(check_http_url)

    def of_provider(self, provider: str) -> ProviderSettings:
        """Collects the fields `<provider>_…`. Raises AttributeError for a provider that lacks one of them."""
        return ProviderSettings(**{name: getattr(self, f"{provider}_{name}") for name in ProviderSettings.model_fields})

    def names_provider(self, provider: str) -> bool:
        """Checks whether the environment names a key or an address of this provider, valid or not."""
        access = (f"{provider}_{name}" for name in ("api_key", "api_key_file", "base_url"))
        return not self.model_fields_set.isdisjoint(access)
