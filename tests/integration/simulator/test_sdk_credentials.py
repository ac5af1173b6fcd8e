"""The credential that each SDK sends by itself is accepted, and what it turns a refusal into."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI
from tavily import InvalidAPIKeyError, TavilyClient

Ask = Callable[[str, str], object]


def ask_openai(simulator: str, key: str) -> object:
    with OpenAI(base_url=f"{simulator}/v1", api_key=key, max_retries=0) as client:
        client.models.list()
        client.embeddings.create(model="text-embedding-3-small", input="bees")
        return client.responses.create(model="gpt-4.1", input="bees").output_text


def ask_as_azure(simulator: str, key: str) -> object:
    # The header of the SDK's Azure client; the paths of that client, which name a deployment, are not served.
    headers: dict[str, str | openai.Omit] = {"Authorization": openai.Omit(), "api-key": key}
    with OpenAI(base_url=f"{simulator}/v1", api_key="unused", max_retries=0) as client:
        return client.responses.create(model="gpt-4.1", input="bees", extra_headers=headers).output_text


def ask_anthropic(simulator: str, key: str) -> object:
    return create_message(Anthropic(base_url=simulator, api_key=key, max_retries=0))


def ask_anthropic_with_token(simulator: str, key: str) -> object:
    return create_message(Anthropic(base_url=simulator, auth_token=key, max_retries=0))


def ask_anthropic_as_documented(simulator: str, key: str) -> object:
    headers: dict[str, str | anthropic.Omit] = {"Authorization": anthropic.Omit(), "X-Api-Key": key}
    return create_message(Anthropic(base_url=simulator, api_key="unused", max_retries=0), headers)


def create_message(client: Anthropic, headers: Mapping[str, str | anthropic.Omit] | None = None) -> object:
    with client:
        client.models.list(extra_headers=headers)
        message = client.messages.create(
            model="claude-sonnet-5",
            max_tokens=100,
            messages=[{"role": "user", "content": "bees"}],
            extra_headers=headers,
        )
    return message.content


def ask_tavily(simulator: str, key: str) -> object:
    with TavilyClient(key, api_base_url=simulator) as client:
        return client.search("bees")["results"]


ASKED = [
    (ask_openai, openai.AuthenticationError),
    (ask_as_azure, openai.AuthenticationError),
    (ask_anthropic, anthropic.AuthenticationError),
    (ask_anthropic_with_token, anthropic.AuthenticationError),
    (ask_anthropic_as_documented, anthropic.AuthenticationError),
    (ask_tavily, InvalidAPIKeyError),
]
each_sdk = pytest.mark.parametrize(("ask", "error"), ASKED, ids=[ask.__name__ for ask, _ in ASKED])


@each_sdk
def test_key_in_the_form_of_the_sdk_is_accepted(simulator: str, ask: Ask, error: type[Exception]) -> None:
    assert ask(simulator, "k")


@each_sdk
@pytest.mark.parametrize("key", ["none", "revoked-1"])
def test_wrong_key_raises_the_error_of_the_sdk(simulator: str, ask: Ask, error: type[Exception], key: str) -> None:
    with pytest.raises(error):
        ask(simulator, key)


def test_sdks_send_what_the_simulator_expects_of_them() -> None:
    azure = openai.AzureOpenAI(api_key="k", api_version="v", azure_endpoint="http://azure.example")
    assert OpenAI(api_key="k").auth_headers == {"Authorization": "Bearer k"}
    assert azure._auth_headers({}) == {"api-key": "k"}
    assert Anthropic(api_key="k").auth_headers == {"Authorization": "Bearer k"}
    assert TavilyClient("k").headers["Authorization"] == "Bearer k"


def test_second_credential_beside_the_sdks_own_is_refused(simulator: str) -> None:
    client = Anthropic(base_url=simulator, api_key="k", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError, match="Invalid bearer token"):
        create_message(client, {"X-Api-Key": "k"})
