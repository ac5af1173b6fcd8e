"""The vendors' adapters of one process: built when first needed, closed together.

Importing an SDK costs half a second to a second of CPU. So it happens in a thread, where the event loop goes on, and
only for vendors that are really asked.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime

from app.llm.chains import Provider
from app.llm.providers.adapter import ProviderAdapter
from app.llm.providers.endpoints import ANTHROPIC, OPENAI
from app.llm.providers.model_list import read_shutdown_dates
from app.outbound.http import HttpTimeouts, build_web_client
from app.outbound.key_file import ProviderKey
from app.settings import LLMSettings
from app.telemetry.metrics import OutboundMetrics

ENDPOINTS = {Provider.OPENAI: OPENAI, Provider.ANTHROPIC: ANTHROPIC}


class Transports:
    """Belongs to one event loop."""

    def __init__(self, settings: LLMSettings, *, metrics: OutboundMetrics) -> None:
        self._settings = settings
        self._keys = {
            Provider.OPENAI: ProviderKey(
                "openai", value=settings.openai_api_key, path=settings.openai_api_key_file, metrics=metrics
            ),
            Provider.ANTHROPIC: ProviderKey(
                "anthropic", value=settings.anthropic_api_key, path=settings.anthropic_api_key_file, metrics=metrics
            ),
        }
        self._base_urls = {
            Provider.OPENAI: settings.openai_base_url,
            Provider.ANTHROPIC: settings.anthropic_base_url,
        }
        self._adapters: dict[Provider, ProviderAdapter] = {}
        self._timeouts = HttpTimeouts(read_seconds=settings.timeout_seconds)
        self._building = asyncio.Lock()

    def usable(self) -> frozenset[Provider]:
        """Providers with a key, or with an endpoint of one's own, which may need none."""
        return frozenset(
            provider for provider in Provider if self._keys[provider].configured or self._base_urls[provider]
        )

    async def adapter(self, provider: Provider) -> ProviderAdapter:
        ready = self._adapters.get(provider)
        if ready is not None:
            return ready
        async with self._building:
            if provider not in self._adapters:
                await asyncio.to_thread(importlib.import_module, f"app.llm.providers.{provider.value}")
                self._adapters[provider] = self._build(provider)
        return self._adapters[provider]

    def _build(self, provider: Provider) -> ProviderAdapter:
        key, base_url = self._keys[provider], self._base_urls[provider]
        match provider:
            case Provider.OPENAI:
                from app.llm.providers.openai import build_openai

                return build_openai(
                    key=key,
                    base_url=base_url,
                    timeouts=self._timeouts,
                    responses_models=self._settings.responses_models,
                )
            case Provider.ANTHROPIC:
                from app.llm.providers.anthropic import build_anthropic

                return build_anthropic(key=key, base_url=base_url, timeouts=self._timeouts)

    async def shutdown_dates(self, provider: Provider) -> Mapping[str, datetime]:
        """When models end, by id, as far as the vendor says. Raises ProviderFault."""
        async with build_web_client(self._timeouts) as client:
            return await read_shutdown_dates(
                ENDPOINTS[provider], base_url=self._base_urls[provider], key=self._keys[provider], client=client
            )

    async def aclose(self) -> None:
        async with AsyncExitStack() as closing:
            for adapter in self._adapters.values():
                closing.push_async_callback(adapter.aclose)
            self._adapters.clear()
