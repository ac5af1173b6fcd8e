"""Chains of models: the models of a role in the order in which the gateway tries them.

A spec is `model` or `provider:model`. Without a provider the name of the model decides (`gpt-…`, `o3`, `claude-…`, and
the simulator's `sim-…`). A model of one provider is never sent to another one by inference.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from app.errors import ConfigurationError
from app.llm.interface import ModelRole
from app.llm.provider_table import Provider, owner_of
from app.settings import AgentSettings, LLMSettings


@dataclass(frozen=True)
class Hop:
    """One model of a chain; `name` is the name of its circuit breaker."""

    provider: Provider
    model: str

    @property
    def name(self) -> str:
        return f"{self.provider.value}:{self.model}"


def to_hop(spec: str) -> Hop:
    """Parses one spec. Raises ConfigurationError if it does not determine the provider."""
    prefix, colon, model = spec.partition(":")
    if colon and model and prefix in tuple(Provider):
        return Hop(Provider(prefix), model)
    provider = owner_of(spec)
    if provider is None:
        raise ConfigurationError(
            f"The name of model {spec!r} does not determine its provider. Write provider:model; "
            f"providers: {', '.join(Provider)}."
        )
    return Hop(provider, spec)


def parse_chain(specs: str) -> tuple[Hop, ...]:
    """Parses comma-separated specs into hops, each once. Raises ConfigurationError."""
    return tuple(dict.fromkeys(to_hop(part.strip()) for part in specs.split(",") if part.strip()))


def build_chains(
    llm: LLMSettings, agents: AgentSettings, *, usable: Collection[Provider]
) -> Mapping[ModelRole, tuple[Hop, ...]]:
    """Builds the chain of each role, with the fallback models last and without the providers that are not usable."""
    fallback = parse_chain(llm.fallback_model)
    primary = {
        ModelRole.PEER: llm.peer_model,
        ModelRole.CONTENT: llm.content_model,
        ModelRole.CODE: llm.code_model,
        ModelRole.PRIMARY: llm.primary_model,
    }
    chains = {}
    for role, specs in primary.items():
        hops = dict.fromkeys(parse_chain(specs) + fallback)
        present = tuple(hop for hop in hops if hop.provider in usable)
        chains[role] = present if agents.llm_fallback else present[:1]
    return chains
