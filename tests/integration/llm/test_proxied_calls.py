"""Proxies over real sockets, for our own calls and for those of LangChain's integrations: which is asked, and how."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.llm.adapters import ProviderAdapters
from app.llm.faults import FaultKind, ProviderFault
from app.llm.interface import ChatMessage
from app.llm.langchain_vendors import dialect_of
from app.llm.provider_table import Provider
from app.llm.providers.adapter import ProviderRequest
from app.llm.providers.langchain_adapter import LangChainAdapter
from app.settings import LLMSettings
from app.telemetry.metrics import WorkerMetrics
from tests.support.model_server import SHORT_ANSWERS, response, serving

# Google's client is a subclass of aiohttp's session, which aiohttp advises against.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

PASSWORD = "proxy-password"
# The server of these tests reads heads in lower case.
CREDENTIAL = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
OPENAI: Mapping[str, Any] = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
}
OLLAMA: Mapping[str, Any] = {
    "model": "m",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {"role": "assistant", "content": "Hi"},
    "done": True,
    "done_reason": "stop",
}
GOOGLE: Mapping[str, Any] = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]
}
BEDROCK: Mapping[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    "metrics": {"latencyMs": 1},
}


@dataclass(frozen=True)
class Caller:
    """One kind of calls: `ask` makes one at an address, `answer` is the body that answers it."""

    ask: Callable[[str, pytest.MonkeyPatch], Awaitable[None]]
    answer: bytes


def request(provider: str, model: str = "m") -> ProviderRequest:
    messages = (ChatMessage("user", "Hi."),)
    return ProviderRequest(
        model=model, messages=messages, max_tokens=100, stream=False, silence_seconds=5.0, dialect=dialect_of(provider)
    )


def adapters_at(provider: Provider, url: str) -> ProviderAdapters:
    settings = LLMSettings.model_validate({f"{provider}_api_key": SecretStr("sk-1"), f"{provider}_base_url": url})
    return ProviderAdapters(settings, metrics=WorkerMetrics(version="0").outbound)


def of_provider(provider: Provider) -> Caller:
    async def ask(url: str, _: pytest.MonkeyPatch) -> None:
        adapters = adapters_at(provider, url)
        try:
            answer = await (await adapters.adapter(provider)).answer(request("openai"))
        finally:
            await adapters.aclose()
        assert answer.text == "Hi"

    return Caller(ask, SHORT_ANSWERS[provider])


def of_the_list() -> Caller:
    async def ask(url: str, _: pytest.MonkeyPatch) -> None:
        assert "m" in await adapters_at(Provider.OPENAI, url).models(Provider.OPENAI)

    return Caller(ask, b'{"data": [{"id": "m"}]}')


def of_langchain(vendor: str, address: str, answer: Mapping[str, Any], *, model: str = "m", **others: str) -> Caller:
    async def ask(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {address: url, **others}.items():
            monkeypatch.setenv(name, value)
        adapter = LangChainAdapter(vendor)
        try:
            assert (await adapter.answer(request(vendor, model))).text == "Hi"
        finally:
            await adapter.aclose()

    return Caller(ask, json.dumps(answer).encode())


AZURE = of_langchain(
    "azure", "AZURE_OPENAI_ENDPOINT", OPENAI, AZURE_OPENAI_API_KEY="k", OPENAI_API_VERSION="2026-01-01"
)
AWS = {"AWS_REGION": "eu-north-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
CALLERS = {
    **{str(provider): of_provider(provider) for provider in Provider},
    "list of models": of_the_list(),
    "azure": AZURE,
    "langchain:openai": of_langchain("langchain", "OPENAI_API_BASE", OPENAI, model="openai/m", OPENAI_API_KEY="k"),
    "ollama": of_langchain("ollama", "OLLAMA_HOST", OLLAMA),
    "google": of_langchain("google", "GOOGLE_GEMINI_BASE_URL", GOOGLE, GOOGLE_API_KEY="k"),
    "bedrock": of_langchain("bedrock", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", BEDROCK, model="amazon.nova", **AWS),
}
each_caller = pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS.keys())


@dataclass
class Watch:
    """The lines that everything has logged, libraries too."""

    caplog: pytest.LogCaptureFixture
    lines: list[Any] = field(default_factory=list)

    def assert_without_password(self, fault: object = "") -> None:
        told = f"{fault} {getattr(fault, 'detail', '')} {self.lines} {self.caplog.text}".lower()
        assert PASSWORD not in told
        assert CREDENTIAL.lower() not in told


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as lines:
        yield Watch(caplog, lines)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def with_password(proxy_url: str) -> str:
    return proxy_url.replace("http://", f"http://user:{PASSWORD}@")


@each_caller
async def test_a_call_goes_through_the_proxy_which_gets_its_password(
    monkeypatch: pytest.MonkeyPatch, caller: Caller, watch: Watch
) -> None:
    async with serving(response(caller.answer)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", with_password(proxy.url))
        await caller.ask("http://models.test", monkeypatch)
    assert proxy.lines[0].split()[1].startswith("http://models.test/")
    assert proxy.heads[0]["proxy-authorization"] == f"basic {CREDENTIAL.lower()}"
    watch.assert_without_password()


@pytest.mark.parametrize("caller", [CALLERS["openai"], CALLERS["list of models"], AZURE], ids=["own", "list", "azure"])
async def test_a_proxy_that_refuses_is_an_outage_and_gets_no_key(
    monkeypatch: pytest.MonkeyPatch, caller: Caller, watch: Watch
) -> None:
    async with serving(response(b"", status="407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", with_password(proxy.url))
        with pytest.raises(ProviderFault) as refused:
            await caller.ask("https://models.test", monkeypatch)
    assert refused.value.kind is FaultKind.UNREACHABLE
    assert proxy.lines[0] == "CONNECT models.test:443 HTTP/1.1"
    assert proxy.heads[0]["proxy-authorization"] == f"basic {CREDENTIAL.lower()}"
    assert not {"authorization", "api-key"} & proxy.heads[0].keys()
    watch.assert_without_password(refused.value)


# Google's integration asks with aiohttp, which reads the variables on its own.
@pytest.mark.parametrize("name", sorted(CALLERS.keys() - {"google"}))
async def test_this_machine_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    caller = CALLERS[name]
    async with serving(response(b"{}", status="502 No")) as proxy, serving(response(caller.answer)) as server:
        for variable in ("HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url)
        await caller.ask(server.url, monkeypatch)
    assert proxy.lines == []


@each_caller
async def test_hosts_without_a_proxy_are_asked_directly(monkeypatch: pytest.MonkeyPatch, caller: Caller) -> None:
    async with serving(response(b"{}", status="502 No")) as proxy, serving(response(caller.answer)) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "0.0.0.0")  # leads to this machine, too, and is no loopback address
        await caller.ask(server.url.replace("127.0.0.1", "0.0.0.0"), monkeypatch)
    assert proxy.lines == []


@each_caller
async def test_a_socks_proxy_for_everything_is_ignored(monkeypatch: pytest.MonkeyPatch, caller: Caller) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    async with serving(response(caller.answer)) as server:
        await caller.ask(server.url.replace("127.0.0.1", "0.0.0.0"), monkeypatch)
    assert len(server.lines) == 1


async def test_a_proxy_of_another_kind_is_named_and_no_key_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://user:{PASSWORD}@127.0.0.1:1080")
    with pytest.raises(ProviderFault, match="HTTPS_PROXY is not an HTTP proxy") as refused:
        await AZURE.ask("https://models.test", monkeypatch)
    assert refused.value.kind is FaultKind.WRONG_ENDPOINT
    assert PASSWORD not in str(refused.value)


async def test_a_proxy_in_a_variable_of_langchain_alone_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    caller = CALLERS["langchain:openai"]
    async with serving(response(caller.answer)) as proxy:
        monkeypatch.setenv("OPENAI_PROXY", proxy.url)
        await caller.ask("http://models.test", monkeypatch)
    assert proxy.lines[0].split()[1].startswith("http://models.test/")
