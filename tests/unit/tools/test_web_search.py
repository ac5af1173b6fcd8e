"""The search adapter: hits and errors from answers and failures, and the verdicts for the breaker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.errors import SearchRejected, SearchUnavailable
from app.outbound.breaker import CircuitBreaker
from app.outbound.breaker_state import BreakerState
from app.settings import LLMSettings, SearchSettings
from app.telemetry.metrics import WorkerMetrics
from app.tools.web_search import EXCERPT_CHARACTERS, PROVIDER, WebSearch, read_hits
from tests.support.doubles import ManualClock

PAGE = {"title": "Bees", "url": "https://www.example.org/bees", "content": "Bees fly."}
Respond = Callable[[httpx.Request], httpx.Response]


class Rig:
    """A WebSearch whose provider is a function; `requests` keeps what the provider got."""

    def __init__(self, respond: Respond, *, key: str | None = "k1", key_file: Path | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self.respond = respond
        self.metrics = WorkerMetrics(version="test")
        self.clock = ManualClock()
        self.breaker = CircuitBreaker(LLMSettings(), redis=None, metrics=self.metrics.outbound, clock=self.clock)
        settings = SearchSettings(
            tavily_api_key=None if key is None else SecretStr(key),
            tavily_api_key_file=key_file,
            tavily_base_url="https://search.example.org",
            timeout_seconds=0.5,
        )
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.tool = WebSearch(settings, client=client, breaker=self.breaker, metrics=self.metrics.outbound)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.respond(request)

    def count(self, status: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "agents_tool_calls_total", {"tool_name": "web_search", "status": status}
        )


def found(*pages: Any) -> Respond:
    return lambda _: httpx.Response(200, json={"results": list(pages)})


def status(code: int) -> Respond:
    return lambda _: httpx.Response(code, json={"detail": {"error": "no"}})


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


async def test_hits_come_out_clean() -> None:
    page = {**PAGE, "title": "Be\u200bes\n", "content": "x" * 9_000 + "\u202e"}
    rig = Rig(found(page))
    (hit,) = await rig.tool.search("bees", request_id="r1")
    assert (hit.title, hit.url, hit.source) == ("Bees", PAGE["url"], "example.org")
    assert hit.excerpt == "x" * EXCERPT_CHARACTERS
    assert rig.count("ok") == 1


@pytest.mark.parametrize(
    ("published", "day"),
    [
        ("Sun, 01 Mar 2026 08:15:00 GMT", date(2026, 3, 1)),
        ("2026-03-01T08:15:00Z", date(2026, 3, 1)),
        ("2026-03-01", date(2026, 3, 1)),
        ("2026-13-01", None),
        ("Sun, 31 Feb 2026 08:15:00 GMT", None),
        ("last week", None),
        ("", None),
        (None, None),
        (1_772_000_000, None),
    ],
)
def test_a_page_has_its_day_if_the_provider_tells_it(published: object, day: date | None) -> None:
    (hit,) = read_hits({"results": [{**PAGE, "published_date": published}]})
    assert hit.published == day


@pytest.mark.parametrize("nothing", [{"title": None}, {"content": None}, {"title": None, "content": None}])
def test_a_page_without_a_title_or_an_excerpt_is_a_page(nothing: dict[str, None]) -> None:
    (hit,) = read_hits({"results": [{**PAGE, **nothing}]})

    assert hit.title == ("www.example.org" if "title" in nothing else "Bees")
    assert hit.excerpt == ("" if "content" in nothing else "Bees fly.")


async def test_request_carries_query_key_and_request_id() -> None:
    rig = Rig(found())
    await rig.tool.search("  be\u200bes  ", request_id="r1")
    (request,) = rig.requests
    assert json.loads(request.content)["query"] == "bees"
    assert request.headers["authorization"] == "Bearer k1"
    assert request.headers["x-session-id"] == "r1"
    assert str(request.url) == "https://search.example.org/search"


@pytest.mark.parametrize(
    "bad", [{"url": "http://127.0.0.1/"}, {"url": "javascript:x"}, {"title": "no address"}, "text", None, {"url": 7}]
)
async def test_unusable_pages_are_left_out(bad: Any) -> None:
    hits = await Rig(found(bad, PAGE)).tool.search("bees", request_id="r1")
    assert [hit.title for hit in hits] == ["Bees"]


@pytest.mark.parametrize("answer", [None, [], {}, {"results": None}, {"results": "x"}])
def test_answer_of_another_form_is_refused(answer: Any) -> None:
    with pytest.raises(SearchUnavailable):
        read_hits(answer)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422, 432, 433, 302])
async def test_refusal_does_not_count_against_health(code: int) -> None:
    rig = Rig(status(code))
    for _ in range(10):
        with pytest.raises(SearchRejected):
            await rig.tool.search("bees", request_id="r1")
    assert len(rig.requests) == 10
    assert rig.breaker.state(PROVIDER) is BreakerState.CLOSED
    assert rig.count("rejected") == 10


@pytest.mark.parametrize("respond", [status(500), status(503), unreachable, lambda _: httpx.Response(200, text="<p>")])
async def test_illness_is_tried_twice_and_opens_the_breaker(respond: Respond) -> None:
    rig = Rig(respond)
    for number in range(7):
        with pytest.raises(SearchUnavailable):
            await rig.tool.search("bees", request_id=f"r{number}")
    assert len(rig.requests) == 9  # two tries of each caller, until the fifth opens the breaker with its first
    assert rig.breaker.state(PROVIDER) is BreakerState.OPEN
    assert rig.count("skipped") == 3


async def test_one_caller_never_opens_the_breaker() -> None:
    rig = Rig(status(500))
    for _ in range(20):
        with pytest.raises(SearchUnavailable):
            await rig.tool.search("bees", request_id="r1")
    assert rig.breaker.state(PROVIDER) is BreakerState.CLOSED


async def test_a_search_that_the_breaker_refuses_uses_up_no_attempt_and_names_the_wait() -> None:
    rig = Rig(status(500))
    for task in "abcde":
        await rig.breaker.failed(PROVIDER, by=task)
    with pytest.raises(SearchUnavailable) as caught:
        await rig.tool.search("bees", request_id="r1")
    assert not caught.value.counted
    assert (caught.value.retry_after_seconds or 0) >= 60
    assert rig.requests == []


async def test_all_queries_of_a_task_are_searched_after_a_pause() -> None:
    rig = Rig(found(PAGE))
    await rig.breaker.cool_down(PROVIDER, 5)
    rig.clock.advance(5)
    searches = [rig.tool.search(query, request_id="r1") for query in ("bees", "wasps", "ants")]
    assert [len(hits) for hits in await asyncio.gather(*searches)] == [1, 1, 1]


async def test_second_try_mends() -> None:
    answers = iter([httpx.Response(503), httpx.Response(200, json={"results": [PAGE]})])
    rig = Rig(lambda _: next(answers))
    assert len(await rig.tool.search("bees", request_id="r1")) == 1
    assert rig.count("ok") == 1


async def test_rate_limit_pauses_without_a_second_try() -> None:
    rig = Rig(status(429))
    with pytest.raises(SearchUnavailable):
        await rig.tool.search("bees", request_id="r1")
    assert len(rig.requests) == 1
    assert rig.breaker.state(PROVIDER) is BreakerState.COOLING
    assert rig.count("error") == 1


async def test_slow_provider_is_not_asked_again() -> None:
    rig = Rig(unreachable)

    def too_slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    rig.respond = too_slow
    with pytest.raises(SearchUnavailable, match="too long"):
        await rig.tool.search("bees", request_id="r1")
    assert len(rig.requests) == 1


async def test_cancelling_leaves_the_breaker_as_it_was() -> None:
    rig, asked = Rig(found()), asyncio.Event()

    async def hang(request: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    client = httpx.AsyncClient(transport=httpx.MockTransport(hang))
    settings = SearchSettings(tavily_api_key=SecretStr("k"), timeout_seconds=60)
    tool = WebSearch(settings, client=client, breaker=rig.breaker, metrics=rig.metrics.outbound)
    task = asyncio.create_task(tool.search("bees", request_id="r1"))
    async with asyncio.timeout(10):
        await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.breaker.state(PROVIDER) is BreakerState.CLOSED


async def test_replaced_key_is_used_at_once(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")

    def only_new(request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] == "Bearer new":
            return httpx.Response(200, json={"results": [PAGE]})
        file.write_text("new")
        return httpx.Response(401, json={"detail": {"error": "no"}})

    rig = Rig(only_new, key=None, key_file=file)
    assert len(await rig.tool.search("bees", request_id="r1")) == 1
    assert [request.headers["authorization"] for request in rig.requests] == ["Bearer old", "Bearer new"]


async def test_without_a_key_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAVILY_API_KEY", raising=False)
    rig = Rig(found(PAGE), key=None)
    assert not rig.tool.available
    with pytest.raises(SearchRejected):
        await rig.tool.search("bees", request_id="r1")
    assert rig.requests == []


@pytest.mark.parametrize("query", ["", "  ", "\u200b"])
async def test_empty_query_is_not_asked(query: str) -> None:
    rig = Rig(found(PAGE))
    with pytest.raises(SearchRejected):
        await rig.tool.search(query, request_id="r1")
    assert rig.requests == []
