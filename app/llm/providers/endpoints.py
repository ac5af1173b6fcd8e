"""The HTTP addresses of the providers: base URL, key header and list of models. Needs no SDK."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from app.outbound.http import HttpTimeouts
    from app.outbound.provider_key import ProviderKey

# A server of one's own often needs no key, but both SDKs insist on one.
NO_KEY = "none"


@dataclass(frozen=True)
class Endpoint:
    """The HTTP interface of one provider. `shutdown_field` of a listed model holds the date on which the model ends."""

    default_base_url: str
    to_key_header: Callable[[str], Mapping[str, str]]
    models_path: str
    shutdown_field: str
    models_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def base_path(self) -> str:
        """Returns the path of the default base URL, which servers that imitate the provider use too."""
        return urlsplit(self.default_base_url).path


@dataclass(frozen=True)
class Connection:
    """The way to one provider in this process. `base_url` None: the provider's own."""

    endpoint: Endpoint
    key: ProviderKey
    base_url: str | None
    timeouts: HttpTimeouts

    @property
    def url(self) -> str:
        return self.base_url or self.endpoint.default_base_url


def bearer(key: str) -> Mapping[str, str]:
    """Builds the header that OpenAI's protocol sends a key in."""
    return {"Authorization": f"Bearer {key}"}


def x_api_key(key: str) -> Mapping[str, str]:
    """Builds the header that Anthropic's protocol sends a key in."""
    return {"X-Api-Key": key}
