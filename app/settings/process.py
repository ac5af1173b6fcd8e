"""Settings of every process: environment, logs and traces."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, field_validator

from app.settings.group import SettingsGroup
from app.settings.urls import check_http_url


class Environment(StrEnum):
    """The kinds of installations."""

    DEV = "dev"
    TEST = "test"
    STAGING = "staging"
    PROD = "prod"


class ProcessSettings(SettingsGroup):
    """The name of the installation, and how a process logs and traces."""

    environment: Environment = Field(
        default=Environment.DEV,
        validation_alias="APP_ENV",
        description="Name of the installation; stored with each task and each log line.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", validation_alias="LOG_LEVEL", description="Least severe level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        validation_alias="LOG_FORMAT",
        description="`json` for machines, `console` for people; `auto` is console on a terminal.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Base URL of an OTLP/HTTP collector. Unset: no spans are recorded.",
    )

    _check_address = field_validator("otlp_endpoint")(check_http_url)
