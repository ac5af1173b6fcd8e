"""The adapters of one process, one for each provider and each LangChain vendor: built when needed, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING

from app.llm.langchain_vendors import is_langchain
from app.llm.provider_table import PROVIDERS, Provider
from app.llm.providers.adapter import ProviderAdapter
from app.llm.providers.endpoints import Connection
from app.llm.providers.model_list import read_models
from app.outbound.http import HttpTimeouts, build_model_client, build_ssl_context, build_web_client
from app.outbound.provider_key import ProviderKey
from app.outbound.proxy import proxy_for
from app.settings import LLMSettings
from app.telemetry.metrics import OutboundMetrics

if TYPE_CHECKING:
    from app.llm.provider_table import ChooseFormat


class ProviderAdapters:
    """All adapters of one process. Belongs to one event loop.

    Raises ConfigurationError for a key, a proxy or a file of certificates that cannot be used.
    """

    def __init__(self, settings: LLMSettings, *, metrics: OutboundMetrics) -> None:
        self._settings = settings
        self._connections = {provider: self._connect(provider, metrics) for provider in Provider}
        # What is wrong with the environment is said at the start, and not by each task.
        self._trust = build_ssl_context()
        self._proxies = {provider: proxy_for(connection.url) for provider, connection in self._connections.items()}
        self._adapters: dict[str, ProviderAdapter] = {}
        self._building = asyncio.Lock()

    def usable(self) -> frozenset[Provider]:
        """Returns the providers with a key, and those with an address of one's own, which may need none."""
        return frozenset(
            provider
            for provider, connection in self._connections.items()
            if connection.key.configured or connection.base_url
        )

    async def adapter(self, provider: str) -> ProviderAdapter:
        """Returns the adapter of a provider, or of a vendor of LangChain, built at the first call."""
        ready = self._adapters.get(provider)
        if ready is not None:
            return ready
        async with self._building:
            if provider not in self._adapters:
                self._adapters[provider] = await self._build(provider)
        return self._adapters[provider]

    async def _build(self, provider: str) -> ProviderAdapter:
        if is_langchain(provider):
            # Nothing of LangChain's chat models is imported before one of them is asked.
            from app.llm.providers.langchain_adapter import LangChainAdapter

            return LangChainAdapter(provider)
        native = Provider(provider)
        choose_format = await asyncio.to_thread(PROVIDERS[native].load, self._settings)
        # Here and not in the thread: the session belongs to this event loop.
        return await self._open(native, choose_format)

    async def _open(self, provider: Provider, choose_format: ChooseFormat) -> ProviderAdapter:
        # The HTTP client takes a tenth of a second to import, which a worker without model calls need not spend.
        from app.llm.providers.http_adapter import HttpAdapter

        session = build_model_client(self._trust)
        return HttpAdapter(session, self._connections[provider], choose_format, proxy=self._proxies[provider])

    async def models(self, provider: Provider) -> Mapping[str, datetime | None]:
        """Reads the provider's models by id, each with the date on which it ends. Raises ProviderFault."""
        connection = self._connections[provider]
        async with build_web_client(HttpTimeouts(self._settings.timeout_seconds), connection.url) as client:
            return await read_models(connection, client=client)

    async def aclose(self) -> None:
        """Closes all adapters, also if closing one of them fails."""
        async with AsyncExitStack() as closing:
            for adapter in self._adapters.values():
                closing.push_async_callback(adapter.aclose)
            self._adapters.clear()

    def _connect(self, provider: Provider, metrics: OutboundMetrics) -> Connection:
        own = self._settings.of_provider(provider)
        key = ProviderKey(provider.value, value=own.api_key, path=own.api_key_file, metrics=metrics)
        return Connection(PROVIDERS[provider].endpoint, key, own.base_url, PROVIDERS[provider].address_variable)
