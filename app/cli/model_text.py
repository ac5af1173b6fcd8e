"""Chains and models as text on a terminal of any width: the providers, the chains, then each model once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.model_document import ROLE_NAMES
from app.cli.text import hanging, plain
from app.llm.hop_facts import HopFacts, ModelFacts, ProviderFacts, clause, explain
from app.llm.pricing import KnownRate
from app.llm.server_dialect import FULL, Dialect

# The lists of some providers have hundreds of names.
_MOST_NAMES = 20
_THROUGH_LANGCHAIN = "asked through LangChain"


def print_models(console: Console, facts: ModelFacts, *, title: str) -> None:
    """Prints everything that is known."""
    console.print(Text(title, style="bold"))
    console.print(hanging([(f"  {name}", state) for name, state in _providers(facts)]))
    console.print(_chain_table(facts))
    # A model is in several chains, and the same facts hold for it in all of them.
    for model in {model.hop: model for role in ROLE_NAMES for model in facts.chains[role]}.values():
        console.print(Text(plain(model.hop.name), style="bold"))
        console.print(hanging([(f"  {label}", value) for label, value in _details(model)]))


def _providers(facts: ModelFacts) -> Iterator[tuple[str, str]]:
    unlisted = {model.hop.provider for chain in facts.chains.values() for model in chain if model.listed is False}
    for provider in facts.providers:
        yield str(provider.provider), _provider_state(provider)
        if provider.provider in unlisted:
            yield "", f"its models: {_names(provider)}"


def _provider_state(provider: ProviderFacts) -> str:
    address, listing = plain(provider.address), provider.listing
    if provider.left_out is not None:
        return f"left out: {provider.left_out}"
    if listing is None:
        return f"{address} is in no chain"
    if listing.fault is not None:
        return f"{address}: {plain(explain(listing) or '')}"
    number = len(listing.models)
    return f"{address} answers, and {f'lists {number} models' if number else 'has no list of models'}"


def _names(provider: ProviderFacts) -> str:
    names = sorted(provider.listing.models) if provider.listing is not None else []
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return plain(", ".join(names[:_MOST_NAMES])) + more


def _chain_table(facts: ModelFacts) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("role", no_wrap=True)
    table.add_column("", no_wrap=True, style="dim")
    table.add_column("model", overflow="fold")
    table.add_column("state", overflow="fold")
    for role, name in ROLE_NAMES.items():
        for number, model in enumerate(facts.chains[role], start=1):
            state = Text(_state(model), style=_style(model))
            table.add_row(name if number == 1 else "", str(number), Text(plain(model.hop.name)), state)
        if not facts.chains[role]:
            table.add_row(name, "", "", Text("no model", style="red"))
    return table


def _state(model: HopFacts) -> str:
    """Says in a few words whether the model can be asked."""
    if model.listing is None:
        return f"{_THROUGH_LANGCHAIN}, not checked"
    if model.listing.fault is not None:
        return clause(model.listing.fault)
    if model.listed is False:
        return "not listed, may answer all the same" if model.can_be_asked else "not listed"
    return "can be asked"


def _style(model: HopFacts) -> str:
    if not model.can_be_asked:
        return "red"
    return "green" if model.reachable and model.listed is not False else "yellow"


def _details(model: HopFacts) -> Sequence[tuple[str, str]]:
    thinks = "thinks" if model.thinks else "does not think"
    return (
        ("endpoint", model.endpoint or _THROUGH_LANGCHAIN),
        (
            "patience",
            f"{model.patience_seconds:g} s of silence; {thinks} first",
        ),
        ("price", _price_text(model.rate)),
        ("dialect", _dialect_text(model.dialect)),
        ("ends", "no date known" if model.ends is None else f"on {model.ends:%Y-%m-%d}"),
    )


def _price_text(known: KnownRate | None) -> str:
    if known is None:
        return "unknown"
    rate = known.rate
    asked, answered = _dollars(rate.input_usd_per_million), _dollars(rate.output_usd_per_million)
    return f"{asked} in, {answered} out for a million tokens ({known.version})"


def _dollars(amount: Decimal) -> str:
    whole, _, cents = f"{amount:f}".partition(".")
    return f"${whole}.{cents.rstrip('0'):0<2}"


def _dialect_text(dialect: Dialect | None) -> str:
    if dialect is None:
        return "unknown: Redis (REDIS_URL) does not answer"
    if dialect == FULL:
        return "its server has refused nothing so far"
    refused = f"without {', '.join(sorted(dialect.refused))}" if dialect.refused else ""
    limit = "" if dialect.max_output_tokens is None else f"at most {dialect.max_output_tokens} output tokens"
    return "; ".join(part for part in (refused, limit) if part)
