"""The readers of one streamed answer: the product's adapter, and the SDKs of the vendors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from app.llm.interface import ChatMessage
from app.llm.provider_table import PROVIDERS, Provider
from app.llm.providers.adapter import ProviderAdapter, ProviderRequest
from tests.benchmarks.recorded_streams import QUESTION
from tests.support.corpus import MAX_TOKENS, PROTOCOLS
from tests.support.model_server import adapting

KEY = "simulated"

# Reads one answer, and returns its text.
ReadAnswer = Callable[[], Awaitable[str]]


@asynccontextmanager
async def product_readers(url: str) -> AsyncIterator[dict[str, ReadAnswer]]:
    """Opens the product's adapters. They pass the text on while it comes, as they do for agents."""
    async with AsyncExitStack() as stack:
        adapters = {
            provider: await stack.enter_async_context(adapting(url + spec.endpoint.base_path, provider=provider))
            for provider, spec in PROVIDERS.items()
        }
        yield {name: _product_reader(adapters[provider], model) for name, (provider, model) in PROTOCOLS.items()}


def _product_reader(adapter: ProviderAdapter, model: str) -> ReadAnswer:
    async def read() -> str:
        shown: list[str] = []
        question = ChatMessage("user", QUESTION)
        request = ProviderRequest(model=model, messages=(question,), max_tokens=MAX_TOKENS, on_text=shown.append)
        return (await adapter.answer(request)).text

    return read


@asynccontextmanager
async def sdk_readers(url: str) -> AsyncIterator[dict[str, ReadAnswer]]:
    """Opens the vendors' SDKs as their pages show them, except that nothing is tried again."""
    openai_url = url + PROVIDERS[Provider.OPENAI].endpoint.base_path
    async with (
        AsyncOpenAI(base_url=openai_url, api_key=KEY, max_retries=0) as openai,
        AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0) as anthropic,
    ):
        yield {
            "chat": lambda: _read_chat(openai),
            "responses": lambda: _read_responses(openai),
            "messages": lambda: _read_messages(anthropic),
        }


async def _read_chat(client: AsyncOpenAI) -> str:
    stream = await client.chat.completions.create(
        model=PROTOCOLS["chat"][1],
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
        stream_options={"include_usage": True},
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


async def _read_responses(client: AsyncOpenAI) -> str:
    stream = await client.responses.create(model=PROTOCOLS["responses"][1], input=QUESTION, stream=True)
    return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])


async def _read_messages(client: AsyncAnthropic) -> str:
    stream = await client.messages.create(
        model=PROTOCOLS["messages"][1],
        max_tokens=MAX_TOKENS,
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
    )
    deltas = [event.delta async for event in stream if event.type == "content_block_delta"]
    return "".join([delta.text for delta in deltas if delta.type == "text_delta"])
