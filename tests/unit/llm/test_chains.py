from __future__ import annotations

import pytest

from app.errors import ConfigurationError
from app.llm.chains import Hop, build_chains, names_langchain, parse_chain, setting_of, to_hop
from app.llm.interface import ModelRole
from app.llm.provider_table import Provider
from app.settings import AgentSettings, LLMSettings

BOTH = frozenset(Provider)


@pytest.mark.parametrize(
    ("spec", "provider", "model"),
    [
        ("gpt-4.1-mini", Provider.OPENAI, "gpt-4.1-mini"),
        ("o3", Provider.OPENAI, "o3"),
        ("sim-429", Provider.OPENAI, "sim-429"),
        ("ft:gpt-4.1:acme::x1", Provider.OPENAI, "ft:gpt-4.1:acme::x1"),
        ("claude-sonnet-5", Provider.ANTHROPIC, "claude-sonnet-5"),
        ("openai:llama3:8b", Provider.OPENAI, "llama3:8b"),
        ("anthropic:sim-ok", Provider.ANTHROPIC, "sim-ok"),
        ("OpenAI:x", Provider.OPENAI, "x"),
    ],
)
def test_a_spec_determines_the_provider_of_its_model(spec: str, provider: Provider, model: str) -> None:
    assert to_hop(spec) == Hop(provider, model)


@pytest.mark.parametrize("spec", ["llama3", "opal", "mistral:large", "openai:"])
def test_a_model_of_nobody_is_a_configuration_error(spec: str) -> None:
    with pytest.raises(ConfigurationError, match="provider:model"):
        to_hop(spec)


def test_a_chain_holds_each_hop_once() -> None:
    assert [hop.model for hop in parse_chain("gpt-4.1, o3 ,gpt-4.1,,")] == ["gpt-4.1", "o3"]


def settings() -> LLMSettings:
    return LLMSettings(peer_model="gpt-4.1-mini,o3", fallback_model="o3,claude-sonnet-5")


def test_fallback_models_come_last() -> None:
    chain = build_chains(settings(), AgentSettings(), usable=BOTH)[ModelRole.PEER]
    assert [hop.model for hop in chain] == ["gpt-4.1-mini", "o3", "claude-sonnet-5"]


def test_models_of_a_provider_without_a_key_are_left_out() -> None:
    chains = build_chains(settings(), AgentSettings(), usable={Provider.ANTHROPIC})
    assert [hop.model for hop in chains[ModelRole.PEER]] == ["claude-sonnet-5"]


def test_without_fallback_only_the_first_model_is_asked() -> None:
    chains = build_chains(settings(), AgentSettings(llm_fallback=False), usable=BOTH)
    assert [hop.model for hop in chains[ModelRole.PEER]] == ["gpt-4.1-mini"]


def test_every_role_has_a_second_hop_by_default() -> None:
    chains = build_chains(LLMSettings(), AgentSettings(), usable={Provider.OPENAI})
    assert set(chains) == set(ModelRole)
    assert all(len(chain) >= 2 for chain in chains.values())


def at_home(**fields: str) -> LLMSettings:
    return LLMSettings.model_validate({"openai_base_url": "http://127.0.0.1:4000/v1", **fields})


def names(llm: LLMSettings, role: ModelRole, usable: frozenset[Provider] = frozenset({Provider.OPENAI})) -> list[str]:
    return [hop.name for hop in build_chains(llm, AgentSettings(), usable=usable)[role]]


@pytest.mark.parametrize("name", ["my-model", "llama3.2:3b", "azure/gpt-4.1", "deepseek-chat", "claude-sonnet-5"])
def test_at_a_base_url_of_ones_own_every_plain_name_belongs_to_it(name: str) -> None:
    assert names(at_home(peer_model=name), ModelRole.PEER) == [f"openai:{name}"]


def test_at_home_one_name_stands_for_all_roles_and_no_default_is_asked() -> None:
    llm = at_home(peer_model="small", code_model="coder")
    assert names(llm, ModelRole.PEER) == names(llm, ModelRole.CONTENT) == names(llm, ModelRole.PRIMARY)
    assert names(llm, ModelRole.CODE) == ["openai:coder"]
    with_fallback = at_home(peer_model="small", fallback_model="big")
    assert names(with_fallback, ModelRole.CONTENT) == ["openai:small", "openai:big"]


def test_a_home_whose_models_nobody_has_named_may_have_those_of_the_vendor() -> None:
    assert names(at_home(), ModelRole.PEER) == ["openai:gpt-4.1-mini"]


def test_with_two_providers_or_at_the_vendors_own_address_names_decide() -> None:
    with pytest.raises(ConfigurationError, match="my-model"):
        names(at_home(peer_model="my-model"), ModelRole.PEER, BOTH)
    with pytest.raises(ConfigurationError, match="my-model"):
        names(LLMSettings(peer_model="my-model"), ModelRole.PEER)


@pytest.mark.parametrize(("role", "variable"), [("peer", "LLM_PEER_MODEL"), ("primary", "AGENT_PRIMARY_MODEL")])
def test_the_setting_of_a_role_is_the_variable_that_a_person_sets(role: str, variable: str) -> None:
    assert setting_of(ModelRole(role)) == variable


def test_an_empty_fallback_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_FALLBACK_MODEL", "")
    monkeypatch.setenv("LLM_PEER_MODEL", "")
    assert names(LLMSettings(), ModelRole.PEER) == ["openai:gpt-4.1-mini"]
    assert names(LLMSettings(fallback_model="gpt-6"), ModelRole.PEER) == ["openai:gpt-4.1-mini", "openai:gpt-6"]


@pytest.mark.parametrize(
    ("spec", "provider", "model"),
    [
        ("azure:my-deployment", "azure", "my-deployment"),
        ("Bedrock:anthropic.claude-x-v1:0", "bedrock", "anthropic.claude-x-v1:0"),
        ("google:gemini-3-pro", "google", "gemini-3-pro"),
        ("ollama:llama3.2:3b", "ollama", "llama3.2:3b"),
        ("langchain:mistralai/mistral-large", "langchain", "mistralai/mistral-large"),
    ],
)
def test_a_vendor_of_langchain_is_named_before_its_model(spec: str, provider: str, model: str) -> None:
    assert to_hop(spec) == Hop(provider, model)
    assert to_hop(spec, home=Provider.OPENAI) == Hop(provider, model)


def test_langchain_without_a_provider_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="provider/model"):
        to_hop("langchain:large")


def test_models_of_langchain_stay_in_their_chains_beside_the_usable_providers() -> None:
    llm = LLMSettings(code_model="azure:mine,gpt-6.1-terra", fallback_model="claude-sonnet-5-5")
    assert names(llm, ModelRole.CODE) == ["azure:mine", "openai:gpt-6.1-terra"]
    assert names(llm, ModelRole.PEER) == ["openai:gpt-4.1-mini"]


def test_where_all_models_are_asked_through_langchain_one_name_stands_for_all_roles() -> None:
    llm = LLMSettings(code_model="azure:mine")
    for role in ModelRole:
        assert names(llm, role, usable=frozenset()) == ["azure:mine"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"code_model": "gpt-4.1, azure:mine"}, True),
        ({"fallback_model": "langchain:groq/x"}, True),
        ({"peer_model": "azure"}, False),
        ({}, False),
    ],
)
def test_a_chain_that_names_a_vendor_of_langchain_is_noticed(fields: dict[str, str], named: bool) -> None:
    assert names_langchain(LLMSettings.model_validate(fields)) is named
