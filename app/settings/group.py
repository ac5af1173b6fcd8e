"""The base of all groups of settings."""

from __future__ import annotations

from typing import Annotated

from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.settings.dotenv_file import ENV_FILE

# `NoDecode`: pydantic-settings would read a list as JSON.
CommaList = Annotated[tuple[str, ...], NoDecode]


class SettingsGroup(BaseSettings):
    """Base of the groups. An empty variable counts as not set."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        extra="ignore",  # `.env` holds the variables of all groups
        env_ignore_empty=True,  # Compose files pass unset variables as empty ones
        frozen=True,
        populate_by_name=True,
    )


def split(value: object) -> object:
    """Splits the text of a CommaList; for validators with `mode="before"`."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value
