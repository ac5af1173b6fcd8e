"""The HTTP addresses of the providers: base URL, headers and list of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from app.outbound.provider_key import ProviderKey


@dataclass(frozen=True)
class Endpoint:
    """The HTTP interface of one provider. `shutdown_field` of a listed model holds the date on which the model ends.

    `call_path` is where every server with this protocol is asked. `fixed_headers` go with every request.
    """

    default_base_url: str
    models_path: str
    shutdown_field: str
    call_path: str
    fixed_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def base_path(self) -> str:
        """Returns the path of the default base URL, which servers that imitate the provider use too."""
        return urlsplit(self.default_base_url).path

    def address(self, base_url: str | None) -> str:
        """Returns the address above all paths: the base URL that somebody has set, else the provider's own."""
        return (base_url or self.default_base_url).rstrip("/")


@dataclass(frozen=True)
class Connection:
    """The way to one provider in this process. `base_url` None: the provider's own."""

    endpoint: Endpoint
    key: ProviderKey
    base_url: str | None
    address_variable: str

    @property
    def url(self) -> str:
        return self.endpoint.address(self.base_url)

    def headers(self, key: str | None) -> Mapping[str, str]:
        """Builds the headers of a request: one credential in the form of the provider's SDK, or none without a key."""
        credential = {"Authorization": f"Bearer {key}"} if key else {}
        return {"Content-Type": "application/json", **self.endpoint.fixed_headers, **credential}
