"""The HTTP clients of LangChain's integrations, or the options for them: the way to a vendor is that of our own calls.

Left alone, each integration reads the variables of proxies in its own way: it asks this machine through a proxy, and
with a SOCKS proxy in ALL_PROXY most cannot even be built. An integration that is not in the table is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from app.outbound.http import IDLE_SECONDS, MAX_CONNECTIONS, MAX_IDLE_CONNECTIONS, httpx_options
from app.outbound.proxy import proxy_for


def client_options(provider: str) -> Mapping[str, Any]:
    """Builds what the chat model of a provider of `init_chat_model` takes for its clients; empty if it takes nothing.

    Raises ConfigurationError for a proxy, or a file of certificates, that cannot be used.
    """
    build = _BUILDERS.get(provider)
    return build() if build is not None else {}


def _for_azure() -> Mapping[str, Any]:
    return _openai_clients(_address("AZURE_OPENAI_ENDPOINT", default="https://openai.azure.com"))


def _for_openai() -> Mapping[str, Any]:
    return _openai_clients(_address("OPENAI_API_BASE", "OPENAI_BASE_URL", default="https://api.openai.com/v1"))


def _openai_clients(url: str) -> Mapping[str, Any]:
    if os.environ.get("OPENAI_PROXY"):
        return {}  # the integration's own variable, which it refuses beside clients
    import httpx2  # the library of OpenAI's SDK, which refuses the clients of httpx

    options = httpx_options(url)
    limits = httpx2.Limits(
        max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE_CONNECTIONS, keepalive_expiry=IDLE_SECONDS
    )
    # The timeouts are those that the SDK sets for each call. It builds a synchronous client too, although none asks it.
    return {
        "http_client": httpx2.Client(follow_redirects=True, **options),
        "http_async_client": httpx2.AsyncClient(limits=limits, follow_redirects=True, **options),
    }


def _for_ollama() -> Mapping[str, Any]:
    return {"client_kwargs": dict(httpx_options(_address("OLLAMA_HOST", default="http://127.0.0.1:11434")))}


def _for_google() -> Mapping[str, Any]:
    url = _address("GOOGLE_GEMINI_BASE_URL", default="https://generativelanguage.googleapis.com")
    # It reads the files of certificates on its own. Its asynchronous calls, which aiohttp makes, take the proxy alone.
    return {"client_args": {"trust_env": False, "proxy": proxy_for(url)}}


def _for_bedrock() -> Mapping[str, Any]:
    from botocore.config import Config

    address = _address("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL", default="")
    if not address:
        return {}  # botocore knows the region, and with it the host that NO_PROXY may name
    proxy = proxy_for(address)
    return {"config": Config(proxies={"http": proxy, "https": proxy} if proxy else {})}


def _address(*variables: str, default: str) -> str:
    found = next((value for name in variables if (value := os.environ.get(name))), default)
    return found if "://" in found or not found else f"http://{found}"  # OLLAMA_HOST is often a host and a port alone


_BUILDERS: Mapping[str, Callable[[], Mapping[str, Any]]] = {
    "azure_openai": _for_azure,
    "openai": _for_openai,
    "ollama": _for_ollama,
    "google_genai": _for_google,
    "bedrock_converse": _for_bedrock,
}
