"""The table of providers is complete, and every other place that lists providers has all of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.llm.provider_table import PROVIDERS, Provider, asked_elsewhere, owner_of
from app.llm.providers.openai_chat import ChatCompletions as ChatEndpoint
from app.llm.providers.openai_responses import Responses
from app.settings import LLMSettings, ProviderSettings
from app.settings.catalogue import PROVIDER_KEYS
from app.simulator.chat import ChatCompletions
from app.simulator.credentials import PROVIDERS as SIMULATED
from app.simulator.messages import Messages

ROOT = Path(__file__).parents[3]
CHART = "charts/agent-orchestrator"
SEARCH_KEY = "TAVILY_API_KEY"
# By path, the simulator's dialect of a protocol: the simulator shares no code with the product, so it has no table.
DIALECTS: dict[str, type[ChatCompletions | Messages]] = {"/chat/completions": ChatCompletions, "/v1/messages": Messages}
each_provider = pytest.mark.parametrize("provider", Provider, ids=str)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_every_provider_has_an_entry() -> None:
    assert set(PROVIDERS) == set(Provider), "add the provider to PROVIDERS in app/llm/provider_table.py"


@each_provider
def test_provider_has_its_settings(provider: Provider) -> None:
    for name in ProviderSettings.model_fields:
        field = f"{provider}_{name}"
        assert field in LLMSettings.model_fields, f"add {field} to LLMSettings in app/settings/llm.py"
    alias = LLMSettings.model_fields[f"{provider}_api_key"].validation_alias
    assert alias == PROVIDERS[provider].key_variable, "key_variable is the alias of the setting"


@each_provider
def test_provider_is_in_the_chart(provider: Provider) -> None:
    key = PROVIDERS[provider].key_variable
    listed = re.search(r'define "ao.providerKeys" -}}\n(\[.*\])', read(f"{CHART}/templates/_secrets.tpl"))
    assert listed is not None
    assert key in json.loads(listed[1]), f"add {key} to ao.providerKeys in {CHART}/templates/_secrets.tpl"
    schema = json.loads(read(f"{CHART}/values.schema.json"))
    inline = schema["properties"]["secrets"]["properties"]["inline"]["properties"]["providers"]["properties"]
    assert key in inline, f"add {key} to secrets.inline.providers in {CHART}/values.schema.json"


def test_keys_of_the_settings_are_those_of_the_table_and_of_the_search() -> None:
    assert {spec.key_variable for spec in PROVIDERS.values()} | {SEARCH_KEY} == PROVIDER_KEYS


@each_provider
def test_provider_has_its_protocol_in_the_simulator(provider: Provider) -> None:
    path = PROVIDERS[provider].load(LLMSettings())("any-model").path
    assert path in DIALECTS, f"write a dialect for {path} in app/simulator, route it in server.py, and name it here"
    assert DIALECTS[path].provider in SIMULATED, "add the provider to _REFUSALS in app/simulator/credentials.py"


@each_provider
def test_calls_of_every_server_with_the_protocol_go_to_its_call_path(provider: Provider) -> None:
    assert PROVIDERS[provider].load(LLMSettings())("any-model").path == PROVIDERS[provider].endpoint.call_path


@each_provider
def test_provider_is_in_the_files_for_its_users(provider: Provider) -> None:
    key = PROVIDERS[provider].key_variable
    assert key in read("compose.models.yaml"), f"pass {key} to the worker in compose.models.yaml"
    assert f"`{key}`" in read("docs/config-reference.md"), "run `make docs`: docs/config-reference.md is out of date"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4.1-mini", ChatEndpoint),
        ("sim-ok", ChatEndpoint),
        ("gpt-5.4", ChatEndpoint),
        ("gpt-6.1-terra", Responses),
        ("gpt-5.3-codex", Responses),
        ("gpt-5.5-pro", Responses),
        ("gpt-5.5-pro-2026-04-23", Responses),
    ],
)
def test_models_that_answer_over_responses_are_a_setting(model: str, expected: type) -> None:
    assert isinstance(PROVIDERS[Provider.OPENAI].load(LLMSettings())(model), expected)


@pytest.mark.parametrize(
    ("base_url", "own"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com./v1", True),
        ("https://api.openai.com.evil.test/v1", False),
        ("https://xapi.openai.com/v1", False),
        ("http://127.0.0.1:4000/v1", False),
        ("http://[half", False),
    ],
)
def test_regional_hosts_are_the_providers_own(base_url: str | None, own: bool) -> None:
    assert PROVIDERS[Provider.OPENAI].owns(base_url) is own


@pytest.mark.parametrize(
    ("model", "owner"),
    [("gpt-4.1", Provider.OPENAI), ("claude-sonnet-5", Provider.ANTHROPIC), ("llama3", None), ("opal", None)],
)
def test_name_of_a_model_shows_its_provider(model: str, owner: Provider | None) -> None:
    assert owner_of(model) is owner


@each_provider
def test_default_address_is_the_providers_own(provider: Provider) -> None:
    spec = PROVIDERS[provider]
    assert spec.owns(None)
    assert spec.owns(spec.endpoint.default_base_url)


@pytest.mark.parametrize(
    "url",
    [
        "https://eu.api.openai.com/v1",
        "https://API.OpenAI.com:443/v1/",
        "https://api.openai.com.",
        "http://u:p@api.openai.com",
    ],
)
def test_regions_and_spellings_of_the_providers_host_are_its_own(url: str) -> None:
    assert PROVIDERS[Provider.OPENAI].owns(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4000/v1",
        "https://openrouter.ai/api/v1",
        "https://api.openai.com.evil.example/v1",
        "https://api.openai.com@evil.example/v1",
        "https://evil.example/api.openai.com/v1",
        "https://notapi.openai.com/v1",
        "https://api.anthropic.com",
        "http://[::1/v1",
        "api.openai.com",
    ],
)
def test_other_hosts_are_not(url: str) -> None:
    assert not PROVIDERS[Provider.OPENAI].owns(url)


def test_providers_with_an_address_of_ones_own_are_asked_elsewhere() -> None:
    assert asked_elsewhere(LLMSettings(openai_base_url="http://localhost/v1")) == {Provider.OPENAI}
    assert asked_elsewhere(LLMSettings(openai_base_url="https://us.api.openai.com/v1")) == set()
