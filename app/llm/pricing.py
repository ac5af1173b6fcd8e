"""The prices of tokens: the override file, then the data that comes with the package genai-prices, else unknown.

The package knows what a provider charges at its own address. The same name at another address is another model, or
another bill: its price is unknown unless the override file has it. Amounts are Decimal until the last step, then
integer micro-USD. Every price names the table that it comes from. Nothing is fetched at run time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Annotated

import genai_prices
from genai_prices.types import PriceCalculation
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import ConfigurationError
from app.llm.langchain_vendors import is_langchain, price_list
from app.llm.simulated_models import SIMULATED_MODELS

SIMULATOR_VERSION = "simulator-1"
Dollars = Annotated[Decimal, Field(ge=0, lt=1_000_000)]
# Ten times the largest context of any model: a greater count is a mistake of the server.
MOST_TOKENS = 100_000_000
_LONGEST_NUMBER = 32


@dataclass(frozen=True)
class TokenCounts:
    """The tokens of one call. `input` is the whole prompt and contains the cached parts."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True)
class CountNames:
    """The names of the counts in a provider's usage object.

    `details` is the object within it that holds the counts of cached tokens. Without it they may be in the usage object
    itself, under the names of `…_beside`. `cached_beside`: the provider counts cached tokens beside `input`.
    """

    input: str
    output: str
    cache_read: str
    cache_write: str
    details: str | None = None
    cache_read_beside: tuple[str, ...] = ()
    cache_write_beside: tuple[str, ...] = ()
    cached_beside: bool = False


def read_counts(usage: object, names: CountNames) -> TokenCounts | None:
    """Reads the counts of a usage object, whatever JSON the provider sent.

    Returns None, for unknown, unless input and output are whole numbers from 0 to `MOST_TOKENS`. Cached counts that are
    no such numbers, or that contradict the input, are left out: all tokens then count as not cached.
    """
    counts = _to_fields(usage)
    details = counts if names.details is None else _to_fields(counts.get(names.details))
    whole, output = read_count(counts.get(names.input)), read_count(counts.get(names.output))
    if whole is None or output is None:
        return None
    read = read_count(details.get(names.cache_read)) or _first_count(counts, names.cache_read_beside)
    written = read_count(details.get(names.cache_write)) or _first_count(counts, names.cache_write_beside)
    if names.cached_beside:
        whole += read + written
    elif read + written > whole:
        read = written = 0
    return TokenCounts(whole, output, cache_read=read, cache_write=written)


def _first_count(counts: Mapping[str, object], names: Collection[str]) -> int:
    return next((count for name in names if (count := read_count(counts.get(name)))), 0)


def read_count(value: object) -> int | None:
    """Reads one count: 12, 12.0 or "12". Returns None for everything else and for numbers out of bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > _LONGEST_NUMBER:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    # NaN fails the comparison.
    return int(number) if 0 <= number <= MOST_TOKENS and number.is_integer() else None


def _to_fields(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True)
class Price:
    """The price of one call. Both fields are None if no table knows the model; an unknown price is never 0."""

    microusd: int | None
    version: str | None


UNKNOWN = Price(microusd=None, version=None)


class Rate(BaseModel):
    """A line of the override file, in USD for a million tokens; cached tokens cost as much as others here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_usd_per_million: Dollars
    output_usd_per_million: Dollars

    def microusd(self, tokens: TokenCounts) -> int:
        """Computes the cost of the tokens."""
        # USD per million tokens is micro-USD per token.
        return _to_integer(tokens.input * self.input_usd_per_million + tokens.output * self.output_usd_per_million)


@dataclass(frozen=True)
class KnownRate:
    """The price of a million tokens, and the table that it comes from."""

    rate: Rate
    version: str


SIMULATOR_RATE = Rate(input_usd_per_million=Decimal("0.40"), output_usd_per_million=Decimal("1.60"))
_OVERRIDES = TypeAdapter(dict[str, Rate])


_TRIAL = TokenCounts(input=100_000)
# Some vendors charge more for each token of a long prompt, none for one as short as this.
_SHORT = TokenCounts(input=1_000, output=1_000)


def _written(tokens: TokenCounts) -> TokenCounts:
    return TokenCounts(tokens.input, tokens.output, cache_write=tokens.input)


def _to_integer(microusd: Decimal) -> int:
    return int(microusd.quantize(Decimal(1), rounding=ROUND_HALF_UP))


class PriceTable:
    """All prices of one process. Raises ConfigurationError for an override file that is no price table.

    `elsewhere` names the providers that are asked at an address that is not their own. There, apart from the override
    file, only the simulator's models have a price.
    """

    def __init__(self, overrides: Path | None = None, *, elsewhere: Collection[str] = ()) -> None:
        self._overrides: dict[str, Rate] = {}
        self._overrides_version = ""
        self._version = f"genai-prices-{genai_prices.__version__}"
        self._elsewhere = frozenset(elsewhere)
        self._charges: dict[tuple[str, str], bool] = {}
        if overrides is not None:
            self._load(overrides)

    def _load(self, path: Path) -> None:
        try:
            content = path.read_bytes()
            self._overrides = _OVERRIDES.validate_json(content)
        except (OSError, ValidationError) as error:
            raise ConfigurationError(
                f"AGENT_PRICES_FILE {path} is not a table of prices ({type(error).__name__}): write "
                '{"model": {"input_usd_per_million": 1, "output_usd_per_million": 2}}.'
            ) from error
        self._overrides_version = f"override-{hashlib.sha256(content).hexdigest()[:12]}"

    def price(self, provider: str, model: str, tokens: TokenCounts, *, at: datetime) -> Price:
        """Computes the cost of one call made at `at` (prices change with time)."""
        fixed = self._fixed_rate(provider, model)
        if fixed is not None:
            return Price(fixed.rate.microusd(tokens), fixed.version)
        found = self._listed(provider, model, tokens, at=at)
        return UNKNOWN if found is None else Price(_to_integer(found.total_price * 1_000_000), self._version)

    def rate(self, provider: str, model: str, *, at: datetime) -> KnownRate | None:
        """Finds the price of a million tokens, of a short prompt and without a cache; None if no table knows it."""
        fixed = self._fixed_rate(provider, model)
        found = self._listed(provider, model, _SHORT, at=at) if fixed is None else None
        if found is None:
            return fixed
        listed = Rate(
            input_usd_per_million=found.input_price * 1_000_000 / _SHORT.input,
            output_usd_per_million=found.output_price * 1_000_000 / _SHORT.output,
        )
        return KnownRate(listed, self._version)

    def _fixed_rate(self, provider: str, model: str) -> KnownRate | None:
        """Finds a price that is the same at all times: of the override file, or of the simulator."""
        rate = self._overrides.get(f"{provider}:{model}") or self._overrides.get(model)
        if rate is not None:
            return KnownRate(rate, self._overrides_version)
        simulated = self._listed_as(provider) is None and model in SIMULATED_MODELS
        return KnownRate(SIMULATOR_RATE, SIMULATOR_VERSION) if simulated else None

    def _listed_as(self, provider: str) -> str | None:
        """Returns the name in genai-prices; None if the package does not know what this provider charges here."""
        if provider in self._elsewhere:
            return None
        return price_list(provider) if is_langchain(provider) else provider

    def highest_cost(self, provider: str, model: str, tokens: TokenCounts, *, at: datetime) -> int | None:
        """Computes the most in micro-USD that `tokens` can cost, whatever the provider caches. None: unknown."""
        if self._charges_for_writes(provider, model, at=at):
            tokens = _written(tokens)
        return self.price(provider, model, tokens, at=at).microusd

    def _charges_for_writes(self, provider: str, model: str, *, at: datetime) -> bool:
        """Checks whether tokens that the provider writes to its cache, often unasked, cost more than others."""
        # Kept, because one computation of a listed price takes 75 µs, and a bound is computed before each call.
        if (provider, model) not in self._charges:
            plain, written = (
                self.price(provider, model, counts, at=at).microusd for counts in (_TRIAL, _written(_TRIAL))
            )
            self._charges[provider, model] = (written or 0) > (plain or 0)
        return self._charges[provider, model]

    def _listed(self, provider: str, model: str, tokens: TokenCounts, *, at: datetime) -> PriceCalculation | None:
        """Computes the provider's own price; None at another address, and for a model that the package lacks."""
        listed_as = self._listed_as(provider)
        if listed_as is None:
            return None
        usage = genai_prices.Usage(
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cache_read_tokens=tokens.cache_read or None,
            cache_write_tokens=tokens.cache_write or None,
        )
        try:
            return genai_prices.calc_price(usage, model, provider_id=listed_as, genai_request_timestamp=at)
        except (LookupError, ValueError):  # a model that the table lacks: a LookupError
            return None
