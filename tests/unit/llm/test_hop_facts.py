"""The facts about hops, from the parts of a gateway that is not asked for an answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from app.llm.chains import Hop
from app.llm.dialect_book import DialectBook
from app.llm.faults import FaultKind, ProviderFault
from app.llm.hop_facts import HopFacts, ModelFacts, clause, explain, read_facts
from app.llm.interface import ModelRole
from app.llm.model_check import ProviderList
from app.llm.provider_table import Provider
from app.llm.server_dialect import FULL, Feature
from app.settings import AgentSettings, LLMSettings, ProcessSettings
from app.telemetry.tracing import Tracing
from tests.unit.llm.doubles import Bench, MemoryAdapters, MemoryRedis, ScriptedAdapter

ENDS = datetime(2027, 1, 14, tzinfo=UTC)
LISTED: Mapping[str, datetime | None] = {"gpt-4.1": ENDS, "gpt-6-luna": None}
REFUSED = ProviderFault(FaultKind.AUTH, "401 (is OPENAI_API_KEY right?)")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keeps the environment and a `.env` out of these tests."""
    monkeypatch.chdir(tmp_path)
    for variable in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY_FILE"):
        monkeypatch.delenv(variable, raising=False)


def settings(**fields: Any) -> LLMSettings:
    roles = dict.fromkeys(("peer_model", "content_model", "code_model", "primary_model"), "gpt-4.1")
    return LLMSettings(**{**roles, "fallback_model": "gpt-6-luna", **fields})


async def read(
    listed: Mapping[str, datetime | None] | ProviderFault = LISTED,
    *,
    redis: Any = None,
    extra: Hop | None = None,
    **fields: Any,
) -> ModelFacts:
    """Reads the facts of a gateway to which OpenAI alone is usable; `extra` is a hop behind the router's others."""
    bench = Bench({Provider.OPENAI: ScriptedAdapter([])}, settings=settings(**fields))
    bench.dialects = DialectBook(redis=redis, clock=bench.clock)
    source = MemoryAdapters(bench.adapters, listed={Provider.OPENAI: listed})
    tracing = Tracing(ProcessSettings(otlp_endpoint=None), process="command", version="test")
    gateway = bench.gateway(source, agents=AgentSettings(llm_fallback=True), tracing=tracing)
    if extra is not None:
        gateway.chains = {role: (*chain, extra) for role, chain in gateway.chains.items()}
    return await read_facts(gateway)


async def router(listed: Mapping[str, datetime | None] | ProviderFault = LISTED, **options: Any) -> list[HopFacts]:
    return list((await read(listed, **options)).chains[ModelRole.PEER])


async def test_each_hop_of_a_chain_is_described_in_its_order() -> None:
    plain, thinking = await router()

    assert [plain.hop.name, thinking.hop.name] == ["openai:gpt-4.1", "openai:gpt-6-luna"]
    assert (plain.reachable, plain.listed, plain.can_be_asked, plain.ends) == (True, True, True, ENDS)
    assert (plain.endpoint, plain.thinks, plain.patience_seconds) == ("/chat/completions", False, 5.0)
    assert (thinking.endpoint, thinking.thinks, thinking.patience_seconds) == ("/responses", True, 60.0)


async def test_a_price_is_per_million_tokens_with_its_source_and_holds_at_the_providers_own_address() -> None:
    known = (await router())[0].rate
    assert known is not None
    assert (known.rate.input_usd_per_million, known.rate.output_usd_per_million) == (Decimal(2), Decimal(8))
    assert known.version.startswith("genai-prices-")
    assert (await router(openai_base_url="http://own.test/v1"))[0].rate is None


async def test_a_model_that_its_own_provider_does_not_list_cannot_be_asked() -> None:
    listed, unlisted = await router({"gpt-4.1": None})
    assert (listed.can_be_asked, unlisted.listed, unlisted.can_be_asked) == (True, False, False)


async def test_a_server_of_ones_own_may_answer_for_a_model_that_it_does_not_list() -> None:
    first, _ = await router({"other": None}, openai_base_url="http://own.test/v1")
    assert (first.listed, first.can_be_asked) == (False, True)


async def test_a_refused_key_stops_every_hop_of_the_provider() -> None:
    facts = await read(REFUSED)
    assert [(hop.reachable, hop.listed) for hop in facts.chains[ModelRole.PEER]] == [(False, None)] * 2
    assert set(facts.roles_without_model()) == set(ModelRole)
    assert explain(facts.providers[0].listing) == "the key is refused: 401 (is OPENAI_API_KEY right?)"


async def test_a_list_that_makes_no_sense_leaves_open_whether_the_model_answers() -> None:
    first, _ = await router(ProviderFault(FaultKind.BROKEN_ANSWER, "KeyError"))
    assert (first.reachable, first.can_be_asked) == (None, True)


@pytest.mark.parametrize("kind", FaultKind)
def test_every_kind_of_fault_has_a_clause(kind: FaultKind) -> None:
    assert clause(ProviderFault(kind))
    assert explain(ProviderList(fault=ProviderFault(kind))) == clause(ProviderFault(kind))


async def test_the_dialect_is_what_a_worker_has_stored_in_redis() -> None:
    redis = MemoryRedis()
    lesson = FULL.without(Feature.STREAM_OPTIONS)
    await DialectBook(redis=cast("Any", redis), clock=Bench({}).clock).learn("openai:gpt-4.1", lesson)
    assert [hop.dialect for hop in await router(redis=redis)] == [lesson, FULL]
    assert [hop.dialect for hop in await router()] == [None, None]


async def test_a_hop_of_another_provider_is_not_checked_and_its_chain_can_be_asked() -> None:
    facts = await read(REFUSED, extra=Hop("azure", "my-deployment"))
    *_, last = facts.chains[ModelRole.PEER]
    assert last.hop.name == "azure:my-deployment"
    assert (last.reachable, last.listed, last.endpoint, last.ends) == (None, None, None, None)
    assert last.patience_seconds == 60.0
    assert facts.roles_without_model() == []


async def test_a_provider_without_a_key_names_the_variable_to_set() -> None:
    openai, anthropic = (await read()).providers
    assert (openai.left_out, openai.address) == (None, "https://api.openai.com/v1")
    assert (anthropic.left_out, anthropic.listing) == ("set ANTHROPIC_API_KEY", None)


async def test_a_key_file_without_a_key_is_named(tmp_path: Path) -> None:
    _, anthropic = (await read(anthropic_api_key_file=tmp_path / "missing")).providers
    assert anthropic.left_out == "the file that ANTHROPIC_API_KEY_FILE names holds no key"


async def test_the_query_of_an_address_is_not_shown() -> None:
    openai, _ = (await read(openai_base_url="http://own.test/v1?key=very-secret")).providers
    assert openai.address == "http://own.test/v1"
