"""Chains of models: which provider's which model is asked, in which order.

A spec is `model` or `provider:model`; without a provider the id says whose it is (`gpt-…`, `o3`, `claude-…`, and the
simulator's `sim-…`, which speaks OpenAI's protocol). An id of one vendor is never sent to another by inference.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.errors import ConfigurationError
from app.llm.interface import ModelRole
from app.settings import AgentSettings, LLMSettings


class Provider(StrEnum):
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True)
class Hop:
    """One model of a chain; `name` is that of its circuit breaker."""

    provider: Provider
    model: str

    @property
    def name(self) -> str:
        return f"{self.provider.value}:{self.model}"


_OWNERS = (
    (Provider.OPENAI, re.compile(r"(gpt-|chatgpt-|codex-|ft:|sim-|o\d)")),
    (Provider.ANTHROPIC, re.compile(r"claude-")),
)


def to_hop(spec: str) -> Hop:
    """Raises ConfigurationError when nothing says whose model it is."""
    prefix, colon, model = spec.partition(":")
    if colon and model and prefix in tuple(Provider):
        return Hop(Provider(prefix), model)
    for provider, pattern in _OWNERS:
        if pattern.match(spec):
            return Hop(provider, spec)
    known = ", ".join(provider.value for provider in Provider)
    raise ConfigurationError(f"Nothing says whose model {spec!r} is: write provider:model with one of {known}.")


def parse_chain(specs: str) -> tuple[Hop, ...]:
    """The comma-separated specs as hops, each once."""
    return tuple(dict.fromkeys(to_hop(part.strip()) for part in specs.split(",") if part.strip()))


def build_chains(
    llm: LLMSettings, agents: AgentSettings, *, usable: Collection[Provider]
) -> Mapping[ModelRole, tuple[Hop, ...]]:
    """The chain of each role, with the fallback models last and without providers that have no key."""
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
