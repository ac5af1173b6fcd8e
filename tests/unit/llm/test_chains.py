from __future__ import annotations

import pytest

from app.errors import ConfigurationError
from app.llm.chains import Hop, build_chains, parse_chain, to_hop
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
