from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigurationError
from app.llm.pricing import SIMULATOR_VERSION, UNKNOWN, PriceTable, TokenCounts
from app.settings import LLMSettings

NOW = datetime(2026, 11, 20, tzinfo=UTC)
COUNTS = st.integers(0, 2_000_000)


@pytest.fixture(scope="module")
def table() -> PriceTable:
    return PriceTable()


def test_a_known_model_has_the_price_of_the_table(table: PriceTable) -> None:
    price = table.price("openai", "gpt-4.1-mini", TokenCounts(input=1_000_000, output=1_000_000), at=NOW)
    assert price.microusd == 2_000_000
    assert price.version is not None
    assert price.version.startswith("genai-prices-")


def test_cached_tokens_are_cheaper(table: PriceTable) -> None:
    whole = table.price("openai", "gpt-4.1-mini", TokenCounts(input=1_000_000), at=NOW)
    cached = table.price("openai", "gpt-4.1-mini", TokenCounts(input=1_000_000, cache_read=1_000_000), at=NOW)
    assert (whole.microusd, cached.microusd) == (400_000, 100_000)


def test_a_dated_id_has_the_price_of_its_model(table: PriceTable) -> None:
    tokens = TokenCounts(input=1_000, output=1_000)
    dated = table.price("openai", "gpt-4.1-mini-2025-04-14", tokens, at=NOW)
    assert dated == table.price("openai", "gpt-4.1-mini", tokens, at=NOW)


def test_an_unknown_model_has_no_price_rather_than_zero(table: PriceTable) -> None:
    assert table.price("openai", "nobody-knows", TokenCounts(input=1), at=NOW) == UNKNOWN


@pytest.mark.parametrize("model", ["sim-ok", "sim-down", "gpt-sim-429", "claude-sim-slow-200", "gpt-6-sim-ok"])
def test_the_simulator_has_a_declared_price(table: PriceTable, model: str) -> None:
    price = table.price("openai", model, TokenCounts(input=1_000_000, output=1_000_000), at=NOW)
    assert (price.microusd, price.version) == (2_000_000, SIMULATOR_VERSION)


def test_every_default_model_has_a_price(table: PriceTable) -> None:
    fields = LLMSettings.model_fields
    names = ("peer_model", "content_model", "code_model", "primary_model", "fallback_model")
    models = {model for name in names for model in str(fields[name].default).split(",")}
    for model in models:
        provider = "anthropic" if model.startswith("claude-") else "openai"
        assert table.price(provider, model, TokenCounts(input=1, output=1), at=NOW).microusd is not None, model


def test_an_override_wins_and_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"gpt-4.1": {"input_usd_per_million": "0.000001", "output_usd_per_million": 3}}')
    price = PriceTable(path).price("openai", "gpt-4.1", TokenCounts(input=1_000_000, output=1_000), at=NOW)
    assert price.microusd == 3_001
    assert price.version is not None
    assert price.version.startswith("override-")


@pytest.mark.parametrize("content", ["", "[]", '{"m": {"input_usd_per_million": -1, "output_usd_per_million": 1}}'])
def test_a_wrong_override_file_stops_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="AGENT_PRICES_FILE"):
        PriceTable(path)


@given(inputs=COUNTS, outputs=COUNTS, more=COUNTS)
def test_more_tokens_never_cost_less(table: PriceTable, inputs: int, outputs: int, more: int) -> None:
    few = table.price("openai", "gpt-4.1", TokenCounts(input=inputs, output=outputs), at=NOW).microusd
    many = table.price("openai", "gpt-4.1", TokenCounts(input=inputs + more, output=outputs), at=NOW).microusd
    assert few is not None
    assert many is not None
    assert 0 <= few <= many
