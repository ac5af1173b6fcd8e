"""The search adapter against the simulator's Tavily."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from pydantic import SecretStr

from app.errors import SearchRejected, SearchUnavailable
from app.outbound.breaker import CircuitBreaker
from app.outbound.http import HttpTimeouts, build_web_client
from app.settings import LLMSettings, SearchSettings
from app.simulator.injections import PAGES
from app.system_clock import SystemClock
from app.telemetry.metrics import WorkerMetrics
from app.tools.web_search import DEFAULT_URL, WebSearch
from tests.support.simulators import running_simulator


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    with running_simulator() as server:
        yield server.url


@pytest.fixture
async def control(simulator: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=simulator) as client:
        yield client
        await client.delete("/simulator/faults")


@pytest.fixture
async def search(simulator: str) -> AsyncIterator[WebSearch]:
    metrics = WorkerMetrics(version="test").outbound
    settings = SearchSettings(tavily_api_key=SecretStr("k"), tavily_base_url=simulator, timeout_seconds=0.5)
    breaker = CircuitBreaker(LLMSettings(), redis=None, metrics=metrics, clock=SystemClock())
    async with build_web_client(
        HttpTimeouts(settings.timeout_seconds), settings.tavily_base_url or DEFAULT_URL
    ) as client:
        yield WebSearch(settings, client=client, breaker=breaker, metrics=metrics)


async def test_pages_are_found(search: WebSearch, control: httpx.AsyncClient) -> None:
    hits = await search.search("green tea", request_id="r1")
    assert len(hits) == 5
    assert hits == await search.search("green tea", request_id="r1")
    assert all("tea" in hit.title.lower() and hit.source in hit.url and hit.excerpt for hit in hits)
    assert (await control.get("/simulator/calls")).json()["by_endpoint"]["search"] >= 2


async def test_hostile_pages_come_without_hidden_text(search: WebSearch) -> None:
    hits = await search.search("sim-injection tea", request_id="r1")
    assert {hit.url for hit in hits} & {page.url for page in PAGES}
    assert not any(character in hit.excerpt for hit in hits for character in "\u200b\u202e\U000e0069")


@pytest.mark.parametrize("fault", ["429", "down", "reset", "hang"])
async def test_outage_is_unavailable(search: WebSearch, control: httpx.AsyncClient, fault: str) -> None:
    (await control.post("/simulator/faults", json={"provider": "tavily", "fault": fault})).raise_for_status()
    with pytest.raises(SearchUnavailable):
        await search.search("green tea", request_id="r1")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("401", "401.*TAVILY_API_KEY"), ("403", "403"), ("quota", "432"), ("bad-request", "400")],
)
async def test_refusal_is_rejected_with_its_reason(
    search: WebSearch, control: httpx.AsyncClient, fault: str, reason: str
) -> None:
    (await control.post("/simulator/faults", json={"provider": "tavily", "fault": fault})).raise_for_status()
    with pytest.raises(SearchRejected, match=reason):
        await search.search("green tea", request_id="r1")


async def test_short_outage_is_mended_by_the_second_try(search: WebSearch, control: httpx.AsyncClient) -> None:
    (
        await control.post("/simulator/faults", json={"provider": "tavily", "fault": "down", "times": 1})
    ).raise_for_status()
    assert await search.search("green tea", request_id="r1")
