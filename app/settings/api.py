"""Settings of the REST API: address, keys, limits of requests."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from app.settings.group import CommaList, SettingsGroup, split
from app.settings.urls import check_origins


class ApiSettings(SettingsGroup):
    """The API's address, its keys, and its limits for requests."""

    host: str = Field(default="127.0.0.1", validation_alias="AGENT_API_HOST", description="Address the API listens on.")
    port: int = Field(
        default=8080, ge=1, le=65535, validation_alias="AGENT_API_PORT", description="Port the API listens on."
    )
    auth: Literal["auto", "on", "off"] = Field(
        default="auto",
        validation_alias="AGENT_API_AUTH",
        description="Whether API keys are required: `auto` requires them on every address except loopback.",
    )
    bootstrap_service_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        validation_alias="AGENT_BOOTSTRAP_SERVICE_KEY",
        description="Key with the role service, stored at the start (at least 32 characters).",
    )
    bootstrap_service_key_file: Path | None = Field(
        default=None,
        validation_alias="AGENT_BOOTSTRAP_SERVICE_KEY_FILE",
        description=(
            "File with that key, re-read when it changes; it takes precedence over AGENT_BOOTSTRAP_SERVICE_KEY."
        ),
    )
    service_key_overlap_seconds: int = Field(
        default=900,
        ge=120,
        le=604_800,
        validation_alias="AGENT_SERVICE_KEY_OVERLAP_SECONDS",
        description="Seconds for which a service key that was replaced in its file or variable goes on working.",
    )
    rate_limit_per_minute: int = Field(
        default=120,
        ge=1,
        le=1_000_000,
        validation_alias="API_RATE_LIMIT_PER_MINUTE",
        description="Requests a minute for one API key, and for one client address.",
    )
    cors_origins: CommaList = Field(
        default=(),
        validation_alias="CORS_ORIGINS",
        description="Origins that browsers may call from, comma-separated; `*` allows any.",
    )
    trusted_proxies: CommaList = Field(
        default=(),
        validation_alias="TRUSTED_PROXIES",
        description="Addresses or networks of proxies whose X-Forwarded-For is trusted, comma-separated.",
    )
    max_body_bytes: int = Field(
        default=1_048_576,
        ge=65_536,
        le=16_777_216,
        validation_alias="AGENT_API_MAX_BODY_BYTES",
        description="Largest request body, in bytes.",
    )
    max_connections: int = Field(
        default=4_096,
        ge=16,
        le=65_536,
        validation_alias="AGENT_API_MAX_CONNECTIONS",
        description="Open connections of one API process; a further one gets 503.",
    )
    max_wait_seconds: int = Field(
        default=60,
        ge=1,
        le=600,
        validation_alias="AGENT_API_MAX_WAIT_SECONDS",
        description="Longest `Prefer: wait` and `?wait=`, in seconds.",
    )

    _split_lists = field_validator("cors_origins", "trusted_proxies", mode="before")(split)

    _check_origins = field_validator("cors_origins")(check_origins)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network, strict=False)
        return value

    @property
    def loopback(self) -> bool:
        """True if only this machine can reach the API."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a host name, which may resolve to a public address
            return False

    @property
    def keys_required(self) -> bool:
        """True if a request without an API key is refused."""
        return self.auth == "on" or (self.auth == "auto" and not self.loopback)
