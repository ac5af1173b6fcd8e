"""The table of model providers: a provider is one member of `Provider` and one entry of `PROVIDERS`.

Everything that differs between providers and needs no SDK is here; the SDK and its protocol are in the module that
`load` imports, `app.llm.providers.<SDK>`. Importing this module imports no SDK, because processes without model calls
read the table too. A test compares the table with the settings, the chart, the simulator and the docs, and names the
place where a provider is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.llm.providers.endpoints import Connection, Endpoint, bearer, x_api_key
from app.settings import LLMSettings

if TYPE_CHECKING:
    from app.llm.providers.adapter import ProviderAdapter

    BuildAdapter = Callable[[Connection, LLMSettings], ProviderAdapter]


class Provider(StrEnum):
    """The name of a provider in `provider:model`, in metrics, and as the prefix of its fields in `LLMSettings`."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True)
class ProviderSpec:
    """One provider.

    `model_names` matches, at the start, the names of models that belong to it. Its published prices hold only at its
    own `hosts` and at those below them (`eu.api.openai.com`). `key_variable` is the setting that a person sets to use
    it. `load` imports the SDK, which takes up to a second of CPU, and returns the adapter's builder.
    """

    display_name: str
    key_variable: str
    model_names: re.Pattern[str]
    hosts: tuple[str, ...]
    endpoint: Endpoint
    load: Callable[[], BuildAdapter]

    def owns(self, base_url: str | None) -> bool:
        """Checks whether the address is the provider's own; None is."""
        if not base_url:
            return True
        try:
            host = (urlsplit(base_url).hostname or "").removesuffix(".")
        except ValueError:  # not an address: the client will refuse it
            return False
        return any(host == own or host.endswith(f".{own}") for own in self.hosts)


def _load_openai() -> BuildAdapter:
    from app.llm.providers.openai import build_openai

    return build_openai


def _load_anthropic() -> BuildAdapter:
    from app.llm.providers.anthropic import build_anthropic

    return build_anthropic


PROVIDERS: Mapping[Provider, ProviderSpec] = MappingProxyType(
    {
        Provider.OPENAI: ProviderSpec(
            display_name="OpenAI",
            key_variable="OPENAI_API_KEY",
            # `sim-…` are the simulator's models; it answers them over OpenAI's protocol.
            model_names=re.compile(r"(gpt-|chatgpt-|codex-|ft:|sim-|o\d)"),
            hosts=("api.openai.com",),
            endpoint=Endpoint("https://api.openai.com/v1", bearer, "/models", "shutdown_date"),
            load=_load_openai,
        ),
        Provider.ANTHROPIC: ProviderSpec(
            display_name="Anthropic",
            key_variable="ANTHROPIC_API_KEY",
            model_names=re.compile(r"claude-"),
            hosts=("api.anthropic.com",),
            endpoint=Endpoint(
                "https://api.anthropic.com",
                x_api_key,
                # The most that a page may hold; without it only the 20 newest models are listed.
                "/v1/models?limit=1000",
                "retires_at",
                models_headers={"anthropic-version": "2023-06-01"},
            ),
            load=_load_anthropic,
        ),
    }
)


def asked_elsewhere(settings: LLMSettings) -> frozenset[Provider]:
    """Returns the providers whose base URL is not their own: a proxy, a compatible server or the simulator."""
    return frozenset(
        provider for provider, spec in PROVIDERS.items() if not spec.owns(settings.of_provider(provider).base_url)
    )


def owner_of(model: str) -> Provider | None:
    """Finds the provider whose names this model's name fits."""
    return next((provider for provider, spec in PROVIDERS.items() if spec.model_names.match(model)), None)
