"""Where the vendors are, how they take a key, and where they list their models; needs no SDK."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

NO_KEY = "none"


@dataclass(frozen=True)
class Endpoint:
    """`shutdown_field` is the name under which a listed model has the date of its end."""

    default_base_url: str
    to_key_header: Callable[[str], Mapping[str, str]]
    models_path: str
    shutdown_field: str
    models_headers: Mapping[str, str] = field(default_factory=dict)


def _bearer(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _x_api_key(key: str) -> Mapping[str, str]:
    return {"X-Api-Key": key}


OPENAI = Endpoint("https://api.openai.com/v1", _bearer, "/models", "shutdown_date")
ANTHROPIC = Endpoint(
    "https://api.anthropic.com",
    _x_api_key,
    "/v1/models?limit=1000",
    "retires_at",
    models_headers={"anthropic-version": "2023-06-01"},
)
