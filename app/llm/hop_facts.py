"""The facts about every hop of the chains: whether it can be asked, and how, at which price, until when.

They are read without asking a model for an answer, so they cost nothing. A server that lists its models to anybody
shows a wrong key only when a model is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.llm.chains import Hop
from app.llm.faults import FaultKind, ProviderFault
from app.llm.gateway import LLMGateway
from app.llm.interface import ModelRole
from app.llm.langchain_vendors import is_langchain
from app.llm.model_check import ProviderList
from app.llm.pricing import KnownRate
from app.llm.provider_table import PROVIDERS, Provider, asked_elsewhere
from app.llm.server_dialect import Dialect
from app.settings import LLMSettings

_CLAUSES = {
    FaultKind.AUTH: "the key is refused",
    FaultKind.WRONG_ENDPOINT: "the address cannot be used",
    FaultKind.QUOTA: "the account has no credit left",
    FaultKind.UNREACHABLE: "no answer",
    FaultKind.RATE_LIMITED: "the provider asks for a pause",
    FaultKind.BROKEN_ANSWER: "the list of models cannot be read",
}
_OTHER_CLAUSE = "the provider is out of order"


def clause(fault: ProviderFault) -> str:
    """Says in a few words why the list of models could not be read."""
    return _CLAUSES.get(fault.kind, _OTHER_CLAUSE)


def explain(listing: ProviderList | None) -> str | None:
    """Says why a list could not be read, with what the server said and the setting to correct; None if it was read."""
    fault = None if listing is None else listing.fault
    if fault is None:
        return None
    return f"{clause(fault)}: {fault.detail}" if fault.detail else clause(fault)


@dataclass(frozen=True)
class HopFacts:
    """The facts about one hop.

    `listing` is the list of its provider, None if it is asked through LangChain: then nothing of it is checked, and
    `endpoint`, the path below the base URL, is None too. `elsewhere`: the address is not the provider's own.
    `patience_seconds` is its longest silence. `dialect` None: unknown without Redis. `rate` None: no table knows it.
    """

    hop: Hop
    listing: ProviderList | None
    endpoint: str | None
    elsewhere: bool
    thinks: bool
    patience_seconds: float
    dialect: Dialect | None
    rate: KnownRate | None

    @property
    def reachable(self) -> bool | None:
        """Checks whether the provider answers, and with this key. None: unknown."""
        fault = None if self.listing is None else self.listing.fault
        # Something answers there, and it neither refuses the key nor misses the path.
        if self.listing is None or (fault is not None and fault.kind is FaultKind.BROKEN_ANSWER):
            return None
        return fault is None

    @property
    def listed(self) -> bool | None:
        """Checks whether the provider lists the model. None: unknown."""
        return None if self.listing is None else self.listing.lists(self.hop.model)

    @property
    def ends(self) -> datetime | None:
        """Returns the date on which the model ends; None if it is not published."""
        return None if self.listing is None else self.listing.ends(self.hop.model)

    @property
    def can_be_asked(self) -> bool:
        """Checks whether nothing is known that stops it from answering."""
        # A server that imitates a provider may answer under every name, or list patterns of names.
        return self.reachable is not False and (self.listed is not False or self.elsewhere)


@dataclass(frozen=True)
class ProviderFacts:
    """One provider of the table. `listing` None: no chain uses it. `left_out` says which setting it lacks."""

    provider: Provider
    address: str
    listing: ProviderList | None
    left_out: str | None


@dataclass(frozen=True)
class ModelFacts:
    """The facts about all chains, with the hops of each in their order, and about the providers of the table."""

    chains: Mapping[ModelRole, Sequence[HopFacts]]
    providers: Sequence[ProviderFacts]

    def roles_without_model(self) -> Sequence[ModelRole]:
        """Returns the roles none of whose hops can be asked."""
        return [role for role, hops in self.chains.items() if not any(hop.can_be_asked for hop in hops)]


async def read_facts(gateway: LLMGateway) -> ModelFacts:
    """Reads the lists of the providers and the dialects of the models."""
    lists = await gateway.read_lists()
    facts = {hop: await _describe_hop(gateway, hop, lists.get(hop.provider)) for hop in gateway.hops}
    return ModelFacts(
        chains={role: [facts[hop] for hop in chain] for role, chain in gateway.chains.items()},
        providers=[_describe_provider(gateway, provider, lists.get(provider)) for provider in Provider],
    )


async def _describe_hop(gateway: LLMGateway, hop: Hop, listing: ProviderList | None) -> HopFacts:
    thinks = gateway.parts.requests.thinks(hop)
    return HopFacts(
        hop,
        listing,
        endpoint=_endpoint(hop, gateway.settings),
        elsewhere=hop.provider in asked_elsewhere(gateway.settings),
        thinks=thinks,
        patience_seconds=gateway.parts.requests.patience(hop, thinks=thinks),
        dialect=await gateway.parts.dialects.read(hop.name),
        rate=gateway.parts.meter.rate(hop),
    )


def _endpoint(hop: Hop, settings: LLMSettings) -> str | None:
    if is_langchain(hop.provider):
        return None
    return PROVIDERS[Provider(hop.provider)].load(settings)(hop.model).path


def _describe_provider(gateway: LLMGateway, provider: Provider, listing: ProviderList | None) -> ProviderFacts:
    spec, own = PROVIDERS[provider], gateway.settings.of_provider(provider)
    left_out = None
    if provider not in gateway.usable:
        left_out = f"set {spec.key_variable}"
        if own.api_key_file is not None:
            left_out = f"the file that {spec.key_variable}_FILE names holds no key"
    # Without a query, which may hold a key.
    address = spec.endpoint.address(own.base_url).partition("?")[0]
    return ProviderFacts(provider, address, listing, left_out)
