"""Web search over Tavily, behind the shared circuit breaker.

Hits are cleaned: pages whose address is not public are left out; titles and excerpts lose invisible characters and are
capped. They stay untrusted text. A changed key is used from the next call on. The library's own retries, its mode
without a key and its extraction of whole pages are not used; nothing is fetched from the pages themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date
from email.utils import parsedate
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError
from tavily import AsyncTavilyClient, BadRequestError, InvalidAPIKeyError, UsageLimitExceededError
from tavily.errors import ForbiddenError
from tavily.errors import TimeoutError as TavilyTimeout

from app.errors import SearchError, SearchRejected, SearchUnavailable, UnsafeAddress
from app.outbound.breaker import CircuitBreaker
from app.outbound.provider_key import ProviderKey
from app.settings import SearchSettings
from app.telemetry.metrics import OutboundMetrics
from app.tools.addresses import check_url
from app.tools.search_tool import SearchHit
from app.tools.untrusted import clean

TOOL_NAME = "web_search"
PROVIDER = "tavily"
DEFAULT_URL = "https://api.tavily.com"
MAX_RESULTS = 5
TITLE_CHARACTERS = 200
EXCERPT_CHARACTERS = 2_500
QUERY_CHARACTERS = 400  # Tavily rejects longer queries
_COOL_DOWN_SECONDS = 30.0  # its 429 names no time
_ATTEMPTS = 2


class _Page(BaseModel):
    title: str | None = None
    url: str
    content: str | None = None
    published_date: object = None


class _RateLimited(SearchUnavailable):
    """The provider asked for a pause; it is healthy."""


class _Skipped(SearchUnavailable):
    """A call that the breaker did not let through. It uses up no attempt of a task that cannot do without it."""

    counted = False


class _TooSlow(SearchUnavailable):
    """A search that used up its time: none is left for a second try."""


_STATUS: dict[type[SearchError], str] = {SearchRejected: "rejected", _Skipped: "skipped"}


class WebSearch:
    """The process's `SearchTool`. It needs a `client` of its own: Tavily's library adds the key to its headers."""

    def __init__(
        self, settings: SearchSettings, *, client: httpx.AsyncClient, breaker: CircuitBreaker, metrics: OutboundMetrics
    ) -> None:
        self._settings = settings
        self._client = client
        self._breaker = breaker
        self._metrics = metrics
        self._key = ProviderKey(
            PROVIDER, value=settings.tavily_api_key, path=settings.tavily_api_key_file, metrics=metrics
        )
        self._tavily: AsyncTavilyClient | None = None
        self._tavily_key: str | None = None
        for status in ("ok", "error", *_STATUS.values()):
            metrics.tool_calls.labels(tool_name=TOOL_NAME, status=status)

    @property
    def available(self) -> bool:
        return self._key.configured

    async def search(self, query: str, *, request_id: str) -> Sequence[SearchHit]:
        """Returns at most five hits, best first. Raises SearchUnavailable or SearchRejected."""
        text = clean(query, limit=QUERY_CHARACTERS)
        if not text:
            raise SearchRejected("The search query is empty.")
        try:
            hits = await self._search_with_retry(text, request_id)
        except SearchError as error:
            self._count(_STATUS.get(type(error), "error"))
            raise
        self._count("ok")
        return hits

    async def _search_with_retry(self, query: str, request_id: str) -> Sequence[SearchHit]:
        """Searches, and once more if that can help: after no answer, a 5xx, or a key that has just been replaced."""
        for attempt in range(1, _ATTEMPTS + 1):
            key = self._key.current()
            if key is None:
                raise SearchRejected(
                    "The key for web search is missing or empty: set TAVILY_API_KEY or TAVILY_API_KEY_FILE."
                )
            if wrong := self._key.problem:
                raise SearchRejected(f"{wrong}.")
            if not await self._breaker.allow_soon(PROVIDER, by=request_id):
                raise _Skipped(
                    "The web search is paused after failures of the provider; a later search tries it again.",
                    retry_after_seconds=self._breaker.refused_seconds(PROVIDER),
                )
            try:
                return await self._guarded(key, query, request_id)
            except (_RateLimited, _TooSlow):
                raise
            except SearchUnavailable:
                if attempt == _ATTEMPTS:
                    raise
            except SearchRejected:
                if attempt == _ATTEMPTS or not self._key.replaced(key):
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _guarded(self, key: str, query: str, request_id: str) -> Sequence[SearchHit]:
        """Makes one call within the time limit and reports its verdict to the breaker.

        A task has one request id in all its runs, so for the breaker that is the task.
        """
        try:
            hits = await self._timed(key, query, request_id)
        except _RateLimited:
            await self._breaker.cool_down(PROVIDER, _COOL_DOWN_SECONDS)
            raise
        except SearchUnavailable:
            await self._breaker.failed(PROVIDER, by=request_id)
            raise
        except SearchRejected:
            # A rejection is an answer: a wrong key or query does not make the provider unhealthy.
            await self._breaker.succeeded(PROVIDER, by=request_id)
            raise
        except asyncio.CancelledError:
            # No verdict. If this call was the probe of a half-open breaker, the next caller becomes the probe.
            await self._breaker.abandoned(PROVIDER, by=request_id)
            raise
        await self._breaker.succeeded(PROVIDER, by=request_id)
        return hits

    async def _timed(self, key: str, query: str, request_id: str) -> Sequence[SearchHit]:
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await self._call(key, query, request_id)
        except TimeoutError as error:
            raise _TooSlow("The web search took too long.") from error

    async def _call(self, key: str, query: str, request_id: str) -> Sequence[SearchHit]:
        """Makes one call; every error of the library and of the transport becomes one of ours."""
        try:
            answer = await self._client_with(key).search(
                query,
                max_results=MAX_RESULTS,
                search_depth="basic",
                timeout=self._settings.timeout_seconds,
                session_id=request_id,
            )
        except UsageLimitExceededError as error:
            raise _RateLimited("The search provider limits the rate of searches (429).") from error
        except InvalidAPIKeyError as error:
            raise SearchRejected("The search provider refuses the key (401): is TAVILY_API_KEY right?") from error
        except ForbiddenError as error:
            # 403: forbidden; 432: the limit of the plan; 433: that of paying as one goes. The library hides which.
            raise SearchRejected(
                "The search provider's plan does not allow this search, or is used up (403, 432 or 433)."
            ) from error
        except BadRequestError as error:
            raise SearchRejected("The search provider refuses the query (400).") from error
        except httpx.HTTPStatusError as error:
            raise _from_status(error.response.status_code) from error
        except TavilyTimeout as error:
            raise _TooSlow("The web search took too long.") from error
        except httpx.TransportError as error:
            raise SearchUnavailable(f"The search provider did not answer ({type(error).__name__}).") from error
        except ValueError as error:  # after httpx's errors: the library lets the one of its JSON parser through
            raise SearchUnavailable("The search provider's answer is not JSON.") from error
        return read_hits(answer)

    def _client_with(self, key: str) -> AsyncTavilyClient:
        if self._tavily is None or self._tavily_key != key:
            self._client.headers.pop("Authorization", None)  # the library keeps a header that is already there
            self._tavily = AsyncTavilyClient(key, api_base_url=self._settings.tavily_base_url, client=self._client)
            self._tavily_key = key
        return self._tavily

    def _count(self, status: str) -> None:
        self._metrics.tool_calls.labels(tool_name=TOOL_NAME, status=status).inc()


def read_hits(answer: Any) -> Sequence[SearchHit]:
    """Reads the usable pages of an answer. Raises SearchUnavailable if it does not have the form of an answer."""
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list):
        raise SearchUnavailable("The search provider's answer has no list of results.")
    return [hit for hit in map(_read_hit, results[:MAX_RESULTS]) if hit is not None]


def _read_hit(result: Any) -> SearchHit | None:
    try:
        page = _Page.model_validate(result)
        host = str(urlsplit(check_url(page.url)).hostname)
    except (ValidationError, UnsafeAddress):
        return None
    return SearchHit(
        title=" ".join(clean(page.title or "", limit=TITLE_CHARACTERS).split()) or host,
        url=page.url,
        source=host.removeprefix("www."),
        excerpt=clean(page.content or "", limit=EXCERPT_CHARACTERS),
        published=_read_day(page.published_date),
    )


def _read_day(published: object) -> date | None:
    """Reads the day from the form of mail headers, in which Tavily dates news, or of ISO 8601; None for others."""
    if not isinstance(published, str):
        return None
    mail = parsedate(published)
    try:
        return date(*mail[:3]) if mail else date.fromisoformat(published[:10])
    except ValueError:
        return None  # a page without its day is as good as most


def _from_status(status: int) -> SearchError:
    if status >= 500:
        return SearchUnavailable(f"The search provider answered with status {status}.")
    return SearchRejected(f"The search provider answered with status {status}.")
