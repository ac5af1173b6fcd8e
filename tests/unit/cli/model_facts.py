"""Facts about models as a gateway has them, for the text and the JSON of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.llm.chains import Hop
from app.llm.faults import FaultKind, ProviderFault
from app.llm.hop_facts import HopFacts, ModelFacts, ProviderFacts
from app.llm.interface import ModelRole
from app.llm.model_check import ProviderList
from app.llm.pricing import KnownRate, Rate
from app.llm.provider_table import Provider
from app.llm.server_dialect import Dialect, Feature

LISTED = ProviderList({"gpt-4.1": datetime(2027, 1, 14, tzinfo=UTC), "gpt-6-luna": None})
REFUSED = ProviderList(fault=ProviderFault(FaultKind.AUTH, '401: "no such key" (is OPENAI_API_KEY right?)'))
PRICE = KnownRate(Rate(input_usd_per_million=Decimal(2), output_usd_per_million=Decimal("0.375")), "table-1")
DIALECT = Dialect(frozenset({Feature.STREAM_OPTIONS, Feature.EFFORT}), 8192)


def model(name: str = "gpt-4.1", *, provider: str = Provider.OPENAI, **fields: Any) -> HopFacts:
    """Builds a model that can be asked; `fields` replace what is known of it."""
    known: dict[str, Any] = {
        "listing": LISTED,
        "endpoint": "/chat/completions",
        "elsewhere": False,
        "thinks": False,
        "patience_seconds": 5.0,
        "dialect": DIALECT,
        "rate": PRICE,
    }
    return HopFacts(Hop(provider, name), **{**known, **fields})


def facts(router: Sequence[HopFacts], *, listing: ProviderList | None = LISTED) -> ModelFacts:
    """Builds facts in which the router has a chain of its own, and every other role asks `gpt-4.1`."""
    chains = {role: [model()] for role in ModelRole}
    providers = [
        ProviderFacts(Provider.OPENAI, "https://api.openai.com/v1", listing, None),
        ProviderFacts(Provider.ANTHROPIC, "https://api.anthropic.com", None, "set ANTHROPIC_API_KEY"),
    ]
    return ModelFacts({**chains, ModelRole.PEER: router}, providers)
