"""Chains of models: the models of a role in the order in which the gateway tries them.

A spec is `model` or `provider:model`. Without a provider the name of the model decides (`gpt-…`, `o3`, `claude-…`, and
the simulator's `sim-…`). A model of one provider is never sent to another one by inference. A base URL of one's own
with no other provider beside it is a home: every plain name belongs to it, whatever it looks like. At a home, and where
all models are asked through LangChain, the defaults of this product, which nobody there has, give way to the names that
somebody has set.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from app.errors import ConfigurationError
from app.llm.interface import ModelRole
from app.llm.langchain_vendors import ANY_VENDOR, VENDORS, is_langchain, require_installed, split_model
from app.llm.provider_table import Provider, asked_elsewhere, owner_of
from app.settings import AgentSettings, LLMSettings

# The setting of each role's chain. The first one that somebody has set stands for the others at a home.
_FIELDS = {
    ModelRole.PEER: "peer_model",
    ModelRole.PRIMARY: "primary_model",
    ModelRole.CONTENT: "content_model",
    ModelRole.CODE: "code_model",
}

FALLBACK_SETTING = str(LLMSettings.model_fields["fallback_model"].validation_alias)


@dataclass(frozen=True)
class Hop:
    """One model of a chain; `name` is the name of its circuit breaker.

    `provider` is a member of `Provider`, or the name of a vendor that is asked through LangChain.
    """

    provider: str
    model: str

    @property
    def name(self) -> str:
        return f"{self.provider}:{self.model}"


def to_hop(spec: str, *, home: Provider | None = None) -> Hop:
    """Parses one spec. Raises ConfigurationError if it does not determine the provider."""
    prefix, colon, model = spec.partition(":")
    named = prefix.lower()
    if colon and model and named in tuple(Provider):
        return Hop(Provider(named), model)
    if colon and model and is_langchain(named):
        split_model(named, model)
        return Hop(named, model)
    provider = home or owner_of(spec)
    if provider is None:
        raise ConfigurationError(
            f"The name of model {spec!r} does not determine its provider. Write provider:model; "
            f"providers: {', '.join((*Provider, *VENDORS, ANY_VENDOR))}."
        )
    return Hop(provider, spec)


def parse_chain(specs: str, *, home: Provider | None = None) -> tuple[Hop, ...]:
    """Parses comma-separated specs into hops, each once. Raises ConfigurationError."""
    return tuple(dict.fromkeys(to_hop(part.strip(), home=home) for part in specs.split(",") if part.strip()))


def find_home(llm: LLMSettings, usable: Collection[Provider]) -> Provider | None:
    """Finds the provider that every plain name belongs to: the only usable one, if its address is not its own."""
    elsewhere = asked_elsewhere(llm)
    return next((provider for provider in usable if len(usable) == 1 and provider in elsewhere), None)


def build_chains(
    llm: LLMSettings, agents: AgentSettings, *, usable: Collection[Provider]
) -> Mapping[ModelRole, tuple[Hop, ...]]:
    """Builds the chain of each role, with the fallback models last and without the providers that are not usable.

    A model that is asked through LangChain stays, because only a person can have named it. Raises ConfigurationError
    for a name without an owner, and for a vendor whose integration is not installed.
    """
    home = find_home(llm, usable)
    fallback = parse_chain(_fallback_specs(llm, home), home=home)
    chains = {}
    for role, specs in _specs(llm, alone=home is not None or not usable).items():
        hops = dict.fromkeys(parse_chain(specs, home=home) + fallback)
        present = tuple(hop for hop in hops if hop.provider in usable or is_langchain(hop.provider))
        chains[role] = present if agents.llm_fallback else present[:1]
    for provider in {hop.provider for chain in chains.values() for hop in chain}:
        require_installed(provider)
    return chains


def setting_of(role: ModelRole) -> str:
    """Returns the variable that names the chain of the role."""
    return str(LLMSettings.model_fields[_FIELDS[role]].validation_alias)


def names_langchain(llm: LLMSettings) -> bool:
    """Checks whether any chain names a model that is asked through LangChain."""
    specs = ",".join(getattr(llm, field) for field in (*_FIELDS.values(), "fallback_model"))
    prefixes = (spec.partition(":")[0] for spec in specs.split(",") if ":" in spec)
    return any(is_langchain(prefix.strip().lower()) for prefix in prefixes)


def _specs(llm: LLMSettings, *, alone: bool) -> Mapping[ModelRole, str]:
    """Returns the specs of each role. `alone`: no provider is usable that has the models of the defaults."""
    set_by_hand = [field for field in _FIELDS.values() if field in llm.model_fields_set]
    common = getattr(llm, set_by_hand[0]) if alone and set_by_hand else None
    return {
        role: common if common is not None and field not in set_by_hand else getattr(llm, field)
        for role, field in _FIELDS.items()
    }


def _fallback_specs(llm: LLMSettings, home: Provider | None) -> str:
    by_default = "fallback_model" not in llm.model_fields_set
    return "" if home is not None and by_default else llm.fallback_model
