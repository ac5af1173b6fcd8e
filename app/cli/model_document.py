"""Chains and models as JSON, for programs; null means unknown, not checked or none."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from app.llm.chains import setting_of
from app.llm.hop_facts import HopFacts, ModelFacts, ProviderFacts, explain
from app.llm.interface import ModelRole
from app.llm.langchain_vendors import is_langchain

# In the order in which a task meets them; the rest of the agents share the last one.
ROLE_NAMES: Mapping[ModelRole, str] = MappingProxyType(
    {
        ModelRole.PEER: "router",
        ModelRole.CONTENT: "content",
        ModelRole.CODE: "code",
        ModelRole.PRIMARY: "primary",
    }
)


def to_document(facts: ModelFacts, *, of_stack: bool) -> dict[str, Any]:
    """Converts the facts. `of_stack`: they are those of the local stack, not of this environment alone."""
    without = facts.roles_without_model()
    return {
        "settings_from": "stack" if of_stack else "environment",
        "providers": {str(provider.provider): _provider_fields(provider) for provider in facts.providers},
        "roles": {
            name: {
                "setting": setting_of(role),
                "can_be_asked": role not in without,
                "hops": [_hop_fields(hop) for hop in facts.chains[role]],
            }
            for role, name in ROLE_NAMES.items()
        },
    }


def roles_without_model(facts: ModelFacts) -> str | None:
    """Names the roles none of whose models can be asked, with their settings; None if there is none."""
    without = facts.roles_without_model()
    roles = ", ".join(f"{name} ({setting_of(role)})" for role, name in ROLE_NAMES.items() if role in without)
    return f"No model can be asked for these roles: {roles}" if roles else None


def _provider_fields(provider: ProviderFacts) -> dict[str, Any]:
    listing = provider.listing
    return {
        "address": provider.address,
        "left_out": provider.left_out,
        "problem": explain(listing),
        "models_listed": None if listing is None or listing.fault is not None else sorted(listing.models),
    }


def _hop_fields(facts: HopFacts) -> dict[str, Any]:
    hop, dialect = facts.hop, facts.dialect
    return {
        "name": hop.name,
        "provider": hop.provider,
        "model": hop.model,
        "asked_through": "langchain" if is_langchain(hop.provider) else "http",
        "can_be_asked": facts.can_be_asked,
        "reachable": facts.reachable,
        "problem": explain(facts.listing),
        "listed": facts.listed,
        "endpoint": facts.endpoint,
        "thinks": facts.thinks,
        "patience_seconds": facts.patience_seconds,
        "dialect": None
        if dialect is None
        else {"refused": sorted(dialect.refused), "max_output_tokens": dialect.max_output_tokens},
        "price": _price_fields(facts),
        "ends_at": None if facts.ends is None else facts.ends.isoformat(),
    }


def _price_fields(facts: HopFacts) -> dict[str, Any] | None:
    if facts.rate is None:
        return None
    return {
        "input_usd_per_million": float(facts.rate.rate.input_usd_per_million),
        "output_usd_per_million": float(facts.rate.rate.output_usd_per_million),
        "source": facts.rate.version,
    }
