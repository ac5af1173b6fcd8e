"""The table of model providers: a provider is one member of `Provider` and one entry of `PROVIDERS`.

Everything that differs between providers is here, apart from the protocol, which is in the module that `load` imports.
Importing this module imports no HTTP client, because processes without model calls read the table too. A test compares
the table with the settings, the chart, the simulator and the docs, and names the place where a provider is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.llm.providers.endpoints import Endpoint
from app.settings import LLMSettings

if TYPE_CHECKING:
    from app.llm.providers.wire import WireFormat

    ChooseFormat = Callable[[str], WireFormat]


# The version of Anthropic's API that its current SDK uses. It decides also how a key is sent.
ANTHROPIC_VERSION = "2026-10-21"


class Provider(StrEnum):
    """The name of a provider in `provider:model`, in metrics, and as the prefix of its fields in `LLMSettings`."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True)
class ProviderSpec:
    """One provider.

    `model_names` matches, at the start, the names of models that belong to it. `hosts` are its own, regional ones are
    below them (`eu.api.openai.com`): only there do its published prices hold. `key_variable` and `address_variable` are
    the settings that a person sets to use it. `load` imports the protocol, and returns the choice of the endpoint for a
    model.
    """

    display_name: str
    key_variable: str
    address_variable: str
    model_names: re.Pattern[str]
    hosts: tuple[str, ...]
    endpoint: Endpoint
    load: Callable[[LLMSettings], ChooseFormat]

    def owns(self, base_url: str | None) -> bool:
        """Checks whether the address is the provider's own; None is."""
        if not base_url:
            return True
        try:
            host = (urlsplit(base_url).hostname or "").removesuffix(".")
        except ValueError:  # not an address: the client will refuse it
            return False
        return any(host == own or host.endswith(f".{own}") for own in self.hosts)


def _load_openai(settings: LLMSettings) -> ChooseFormat:
    from app.llm.providers.openai_chat import ChatCompletions
    from app.llm.providers.openai_responses import Responses

    chat, responses = ChatCompletions(), Responses()

    def choose(model: str) -> WireFormat:
        return responses if any(fnmatchcase(model, pattern) for pattern in settings.responses_models) else chat

    return choose


def _load_anthropic(_settings: LLMSettings) -> ChooseFormat:
    from app.llm.providers.anthropic_messages import Messages

    messages = Messages()
    return lambda _model: messages


PROVIDERS: Mapping[Provider, ProviderSpec] = MappingProxyType(
    {
        Provider.OPENAI: ProviderSpec(
            display_name="OpenAI",
            key_variable="OPENAI_API_KEY",
            address_variable="OPENAI_BASE_URL",
            # `sim-…` are the simulator's models; it answers them over OpenAI's protocol.
            model_names=re.compile(r"(gpt-|chatgpt-|codex-|ft:|sim-|o\d)"),
            hosts=("api.openai.com",),
            endpoint=Endpoint("https://api.openai.com/v1", "/models", "shutdown_date", "/chat/completions"),
            load=_load_openai,
        ),
        Provider.ANTHROPIC: ProviderSpec(
            display_name="Anthropic",
            key_variable="ANTHROPIC_API_KEY",
            address_variable="ANTHROPIC_BASE_URL",
            model_names=re.compile(r"claude-"),
            hosts=("api.anthropic.com",),
            endpoint=Endpoint(
                "https://api.anthropic.com",
                # The most that a page may hold; without it only the 20 newest models are listed.
                "/v1/models?limit=1000",
                "retires_at",
                "/v1/messages",
                fixed_headers={"anthropic-version": ANTHROPIC_VERSION},
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
