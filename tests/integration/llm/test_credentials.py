"""The credential of a call, beside the one that the provider's own SDK sends."""

from __future__ import annotations

import anthropic
import openai
import pytest

from app.llm.interface import ChatMessage
from app.llm.provider_table import Provider
from app.llm.providers.adapter import ProviderRequest
from tests.support.model_server import CREDENTIAL_HEADERS, SHORT_ANSWERS, adapting, response, serving

KEY = "sk-secret"
REQUEST = ProviderRequest(
    model="m", messages=(ChatMessage("user", "Hello"),), max_tokens=10, stream=False, silence_seconds=5.0
)


async def ask_with_sdk(provider: Provider, url: str) -> None:
    """Makes the same call as the users of the provider's SDK do."""
    if provider is Provider.OPENAI:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=url, max_retries=0) as client:
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello"}])
    else:
        async with anthropic.AsyncAnthropic(api_key=KEY, base_url=url, max_retries=0) as other:
            await other.messages.create(model="m", max_tokens=10, messages=[{"role": "user", "content": "Hello"}])


@pytest.mark.parametrize("provider", Provider, ids=str)
async def test_credential_and_version_are_those_of_the_providers_own_sdk(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    async with serving(response(SHORT_ANSWERS[provider])) as server:
        async with adapting(server.url, provider=provider, key=KEY) as adapter:
            assert (await adapter.answer(REQUEST)).text == "Hi"
        await ask_with_sdk(provider, server.url)
    ours, theirs = server.heads
    kept = (*CREDENTIAL_HEADERS, "anthropic-version", "content-type")
    assert {name: ours[name] for name in kept if name in ours} == {
        name: theirs[name] for name in kept if name in theirs
    }
    assert sum(name in ours for name in CREDENTIAL_HEADERS) == 1
    assert server.lines[0] == server.lines[1]
