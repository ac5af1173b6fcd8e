"""Web search."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from app.settings.group import SettingsGroup
from app.settings.urls import check_http_url


class SearchSettings(SettingsGroup):
    """The web search of ContentAgent."""

    tavily_api_key: SecretStr | None = Field(
        default=None,
        validation_alias="TAVILY_API_KEY",
        description="Key for Tavily; without it ContentAgent writes without a search and states that.",
    )
    tavily_api_key_file: Path | None = Field(
        default=None,
        validation_alias="TAVILY_API_KEY_FILE",
        description="File with the key for Tavily, re-read when it changes.",
    )
    tavily_base_url: str | None = Field(
        default=None, validation_alias="TAVILY_BASE_URL", description="Another Tavily-compatible endpoint."
    )
    timeout_seconds: float = Field(
        default=10.0,
        ge=0.5,
        le=60,
        validation_alias="AGENT_SEARCH_TIMEOUT_SECONDS",
        description="Longest wait for one web search, in seconds.",
    )

    _check_address = field_validator("tavily_base_url")(check_http_url)
