"""The prices of tokens: the override file, then the data that comes with the package genai-prices, else unknown.

Amounts are Decimal until the last step, then integer micro-USD. Every price names the table that it comes from. Nothing
is fetched at run time.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Annotated

import genai_prices
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import ConfigurationError

# The simulator's models have a declared price, so that a demo shows costs. `claude-sim-…`: the prefix of a protocol.
_SIMULATED = re.compile(r"(?:^|-)sim-")
SIMULATOR_VERSION = "simulator-1"
Dollars = Annotated[Decimal, Field(ge=0, lt=1_000_000)]


@dataclass(frozen=True)
class TokenCounts:
    """The tokens of one call. `input` is the whole prompt and contains the cached parts."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


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


SIMULATOR_RATE = Rate(input_usd_per_million=Decimal("0.40"), output_usd_per_million=Decimal("1.60"))
_OVERRIDES = TypeAdapter(dict[str, Rate])


def _to_integer(microusd: Decimal) -> int:
    return int(microusd.quantize(Decimal(1), rounding=ROUND_HALF_UP))


class PriceTable:
    """All prices of one process. Raises ConfigurationError for an override file that is no price table."""

    def __init__(self, overrides: Path | None = None) -> None:
        self._overrides: dict[str, Rate] = {}
        self._overrides_version = ""
        self._version = f"genai-prices-{genai_prices.__version__}"
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
        rate = self._overrides.get(model) or self._overrides.get(f"{provider}:{model}")
        if rate is not None:
            return Price(rate.microusd(tokens), self._overrides_version)
        if _SIMULATED.search(model):
            return Price(SIMULATOR_RATE.microusd(tokens), SIMULATOR_VERSION)
        usage = genai_prices.Usage(
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cache_read_tokens=tokens.cache_read or None,
            cache_write_tokens=tokens.cache_write or None,
        )
        try:
            found = genai_prices.calc_price(usage, model, provider_id=provider, genai_request_timestamp=at)
        except (LookupError, ValueError):  # a model that the table lacks: a LookupError
            return UNKNOWN
        return Price(_to_integer(found.total_price * 1_000_000), self._version)
