"""A gateway in front of a server of another project, and the servers, each started once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from pydantic import SecretStr

from app.llm.gateway import LLMGateway
from app.settings import LLMSettings
from tests.foreign_servers.installed_servers import missing_server, running_fakellm, running_litellm, running_llama
from tests.integration.llm.conftest import Asked, build_asked
from tests.support.simulators import running_simulator


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Skips everything here, with the reason, unless the servers are installed."""
    reason = missing_server()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keeps the environment and a `.env` out of these tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def litellm(installed: None) -> Iterator[str]:
    with running_simulator() as simulator, running_litellm(simulator.url) as server:
        yield server.url


@pytest.fixture(scope="session")
def llama(installed: None) -> Iterator[str]:
    with running_llama() as server:
        yield server.url


@pytest.fixture(scope="session")
def endless_llama(installed: None) -> Iterator[str]:
    with running_llama(endless=True) as server:
        yield server.url


@pytest.fixture(scope="session")
def fakellm(installed: None) -> Iterator[str]:
    with running_fakellm() as server:
        yield server.url


class AskServer(Protocol):
    """Builds a gateway that asks `models` of the server `url`, in every role.

    `paths` are those below `url` at which OpenAI's protocol begins, and Anthropic's.
    """

    def __call__(
        self, url: str, models: str, *, key: str, paths: tuple[str, str] = ("/v1", ""), fallback: str = ""
    ) -> Asked: ...


@pytest.fixture
async def ask() -> AsyncIterator[AskServer]:
    made: list[LLMGateway] = []

    def build(url: str, models: str, *, key: str, paths: tuple[str, str] = ("/v1", ""), fallback: str = "") -> Asked:
        settings = LLMSettings(
            peer_model=models,
            content_model=models,
            code_model=models,
            primary_model=models,
            fallback_model=fallback,
            openai_base_url=url + paths[0],
            openai_api_key=SecretStr(key),
            anthropic_base_url=url + paths[1],
            anthropic_api_key=SecretStr(key),
            http_max_retries=1,
            thinking_models=(),  # else answers of `gpt-6…` and `claude-…` may be thousands of tokens longer
        )
        asked = build_asked(settings)
        made.append(asked.gateway)
        return asked

    yield build
    for gateway in made:
        await gateway.aclose()
