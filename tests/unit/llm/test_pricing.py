from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigurationError
from app.llm.pricing import (
    MOST_TOKENS,
    SIMULATOR_VERSION,
    UNKNOWN,
    CountNames,
    KnownRate,
    PriceTable,
    TokenCounts,
    read_count,
    read_counts,
)
from app.llm.simulated_models import SIMULATED_MODELS
from app.settings import LLMSettings

NOW = datetime(2026, 11, 20, tzinfo=UTC)
COUNTS = st.integers(0, 2_000_000)
NAMES = CountNames(input="in", output="out", details="cached", cache_read="read", cache_write="written")
BESIDE = CountNames(input="in", output="out", cache_read="read", cache_write="written", cached_beside=True)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["in", "out", "cached", "read", "written"]), inner),
)


@pytest.mark.parametrize(("sent", "read"), [(12, 12), (12.0, 12), ("12", 12), (" 12 ", 12), (0, 0), (-0.0, 0)])
def test_whole_numbers_are_read_in_every_form(sent: object, read: int) -> None:
    assert read_count(sent) == read


@pytest.mark.parametrize(
    "sent",
    [
        None,
        True,
        False,
        -1,
        -0.5,
        12.5,
        "12.5",
        "",
        "many",
        "NaN",
        math.nan,
        math.inf,
        1e30,
        10**400,
        MOST_TOKENS + 1,
        [],
        [12],
        {},
        {"value": 12},
        "9" * 100_000,
    ],
    ids=lambda sent: str(sent)[:12],
)
def test_everything_else_is_unknown(sent: object) -> None:
    assert read_count(sent) is None


@pytest.mark.parametrize("usage", [None, [], "12", 12, True, {}, {"in": 1}, {"out": 1}, {"in": None, "out": 1}])
def test_usage_without_input_and_output_is_unknown(usage: object) -> None:
    assert read_counts(usage, NAMES) is None


def test_cached_tokens_are_part_of_the_input_or_beside_it() -> None:
    within = {"in": 100, "out": 5, "cached": {"read": 60, "written": 20}}
    assert read_counts(within, NAMES) == TokenCounts(100, 5, cache_read=60, cache_write=20)
    beside = {"in": 20, "out": 5, "read": 60, "written": 20}
    assert read_counts(beside, BESIDE) == TokenCounts(100, 5, cache_read=60, cache_write=20)


def test_cached_tokens_may_have_other_names_beside_the_others() -> None:
    names = replace(NAMES, cache_read_beside=("hit", "also_read"), cache_write_beside=("created",))
    counts = {"in": 100, "out": 5}
    both = {**counts, "hit": 60, "created": 20}
    assert read_counts(both, names) == TokenCounts(100, 5, cache_read=60, cache_write=20)
    assert read_counts({**counts, "hit": None, "also_read": 60}, names) == TokenCounts(100, 5, cache_read=60)
    assert read_counts({**counts, "cached": {"read": 60}, "hit": 70}, names) == TokenCounts(100, 5, cache_read=60)
    assert read_counts({**counts, "hit": 101}, names) == TokenCounts(100, 5)
    assert read_counts({**counts, "hit": 60}, NAMES) == TokenCounts(100, 5)


@pytest.mark.parametrize("cached", [None, [], "60", {"read": 101}, {"read": 60, "written": 60}, {"read": -1}])
def test_cached_counts_that_make_no_sense_leave_the_others(cached: object) -> None:
    assert read_counts({"in": 100, "out": 5, "cached": cached}, NAMES) == TokenCounts(100, 5)


@given(usage=JSON, names=st.sampled_from([NAMES, BESIDE]))
def test_whatever_comes_is_counts_that_have_a_price_or_unknown(
    table: PriceTable, usage: object, names: CountNames
) -> None:
    counts = read_counts(usage, names)
    if counts is not None:
        assert all(type(count) is int and count >= 0 for count in vars(counts).values())
        assert counts.cache_read + counts.cache_write <= counts.input <= 3 * MOST_TOKENS
        assert table.price("anthropic", "claude-sonnet-5-5", counts, at=NOW).microusd is not None


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


@pytest.mark.parametrize("model", sorted(SIMULATED_MODELS))
def test_the_simulator_has_a_declared_price(model: str) -> None:
    tokens = TokenCounts(input=1_000_000, output=1_000_000)
    price = PriceTable(elsewhere=["openai"]).price("openai", model, tokens, at=NOW)
    assert (price.microusd, price.version) == (2_000_000, SIMULATOR_VERSION)
    assert PriceTable().price("openai", model, tokens, at=NOW) == UNKNOWN, "no vendor has such a model"


@pytest.mark.parametrize(
    "model", ["gpt-4.1", "gpt-4.1-mini", "my-sim-model", "sim-ok-7b", "my/sim-ok", "SIM-OK", "sim-"]
)
def test_another_address_has_no_price_but_that_of_the_override_file(tmp_path: Path, model: str) -> None:
    tokens = TokenCounts(input=1_000_000, output=1_000_000)
    assert PriceTable(elsewhere=["openai"]).price("openai", model, tokens, at=NOW) == UNKNOWN
    path = tmp_path / "prices.json"
    for name in (model, f"openai:{model}"):
        path.write_text(f'{{"{name}": {{"input_usd_per_million": 1, "output_usd_per_million": 2}}}}')
        assert PriceTable(path, elsewhere=["openai"]).price("openai", model, tokens, at=NOW).microusd == 3_000_000


def test_an_address_of_one_provider_leaves_the_prices_of_the_others() -> None:
    table = PriceTable(elsewhere=["openai"])
    assert table.price("anthropic", "claude-sonnet-5-5", TokenCounts(1, 1), at=NOW) != UNKNOWN


def test_a_price_for_one_provider_precedes_that_for_all(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    rates = [
        '"input_usd_per_million": 1, "output_usd_per_million": 1',
        '"input_usd_per_million": 5, "output_usd_per_million": 5',
    ]
    path.write_text(f'{{"m": {{{rates[0]}}}, "openai:m": {{{rates[1]}}}}}')
    table = PriceTable(path)
    assert table.price("openai", "m", TokenCounts(input=1_000_000), at=NOW).microusd == 5_000_000
    assert table.price("anthropic", "m", TokenCounts(input=1_000_000), at=NOW).microusd == 1_000_000


def test_every_default_model_has_a_price(table: PriceTable) -> None:
    fields = LLMSettings.model_fields
    names = ("peer_model", "content_model", "code_model", "primary_model", "fallback_model")
    models = {model for name in names for model in str(fields[name].default).split(",")}
    for model in models:
        provider = "anthropic" if model.startswith("claude-") else "openai"
        assert table.price(provider, model, TokenCounts(input=1, output=1), at=NOW).microusd is not None, model


def test_a_rate_is_what_a_million_tokens_cost(table: PriceTable, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"my-model": {"input_usd_per_million": 1, "output_usd_per_million": 2.5}}')
    own = PriceTable(prices, elsewhere=["anthropic"])
    simulated = own.rate("anthropic", next(iter(SIMULATED_MODELS)), at=NOW)

    assert _amounts(table.rate("openai", "gpt-4.1", at=NOW)) == (Decimal(2), Decimal(8))
    assert _amounts(own.rate("anthropic", "my-model", at=NOW)) == (Decimal(1), Decimal("2.5"))
    assert simulated is not None
    assert simulated.version == SIMULATOR_VERSION


def test_the_rate_of_a_tiered_price_is_that_of_a_short_prompt(table: PriceTable) -> None:
    rate = table.rate("google", "gemini-2.5-pro", at=NOW)
    longest = table.price("google", "gemini-2.5-pro", TokenCounts(input=1_000_000), at=NOW).microusd
    assert rate is not None
    assert longest is not None
    assert rate.rate.input_usd_per_million < Decimal(longest) / 1_000_000


def test_the_rate_of_a_model_without_a_price_is_unknown(table: PriceTable) -> None:
    assert table.rate("openai", "my-model", at=NOW) is None
    assert PriceTable(elsewhere=["openai"]).rate("openai", "gpt-4.1", at=NOW) is None


def _amounts(known: KnownRate | None) -> tuple[Decimal, Decimal]:
    assert known is not None
    return known.rate.input_usd_per_million, known.rate.output_usd_per_million


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


@given(inputs=COUNTS, outputs=COUNTS, read=COUNTS, written=COUNTS)
@pytest.mark.parametrize("model", ["gpt-6-luna", "gpt-4.1"])
def test_no_mixture_of_cached_tokens_costs_more_than_the_highest(
    table: PriceTable, model: str, inputs: int, outputs: int, read: int, written: int
) -> None:
    read = min(read, inputs)
    counts = TokenCounts(inputs, outputs, cache_read=read, cache_write=min(written, inputs - read))
    cost = table.price("openai", model, counts, at=NOW).microusd
    highest = table.highest_cost("openai", model, TokenCounts(inputs, outputs), at=NOW)
    assert cost is not None
    assert highest is not None
    assert cost <= highest


def test_the_highest_cost_of_an_unknown_price_is_unknown(table: PriceTable) -> None:
    assert table.highest_cost("openai", "nobody-knows", TokenCounts(1, 1), at=NOW) is None
