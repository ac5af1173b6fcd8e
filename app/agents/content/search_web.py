"""The node `search_web`: all queries at once, their pages numbered once each, after the pages of earlier answers.

A failed search does not fail the task: the text is then written without it, and a note in the text states that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import chain, count, islice, zip_longest
from typing import Any

from langgraph.runtime import Runtime

from app.agents.base import AgentContext
from app.agents.content.links import clean_title, is_citable, url_key
from app.agents.content.session_sources import first_free_number
from app.agents.content.state import ContentState, SearchOutcome, Source
from app.errors import SearchError
from app.telemetry.logs import get_logger
from app.tools.search_tool import SearchHit

MAX_SOURCES = 12  # with up to 2,500 characters each, about 7,500 tokens of the writer's prompt

log = get_logger(__name__)


async def search_web(state: ContentState, runtime: Runtime[AgentContext]) -> dict[str, Any]:
    context = runtime.context
    answers = await asyncio.gather(*(_search(context, query) for query in state["queries"]))
    results = [answer for answer in answers if answer is not None]
    earlier = state.get("session_sources", [])
    sources = number_sources(results, earlier=earlier, first=first_free_number(state["history"], earlier))
    if sources:
        outcome = SearchOutcome.SEARCHED
    else:
        outcome = SearchOutcome.NOTHING_FOUND if results else SearchOutcome.UNAVAILABLE
    return {"sources": sources, "search_outcome": outcome.value}


async def _search(context: AgentContext, query: str) -> Sequence[SearchHit] | None:
    """Returns the hits, or None if the search failed."""
    try:
        return await context.search.search(query, request_id=context.task.request_id)
    except SearchError as error:
        log.warning("content_search_failed", error_code=error.code, reason=error.message)
        return None


def number_sources(
    results: Sequence[Sequence[SearchHit]], *, earlier: Sequence[Source] = (), first: int = 1
) -> list[Source]:
    """Numbers each page once, the best of every query first, so that a cut at the end takes from all queries alike.

    A page that an earlier answer cites keeps its number, title and address. The others are numbered from `first`.
    """
    hits: dict[str, SearchHit] = {}
    for hit in _interleaved(results):
        key = url_key(hit.url)
        if key is not None and is_citable(hit.url):
            hits.setdefault(key, hit)
    known = {url_key(source["url"]): source for source in earlier}
    free = count(first)
    return [
        _found_again(known[key], hit) if key in known else _source(next(free), hit)
        for key, hit in islice(hits.items(), MAX_SOURCES)
    ]


def _found_again(earlier: Source, hit: SearchHit) -> Source:
    found = _source(earlier["number"], hit)
    found["title"], found["url"], found["site"] = earlier["title"], earlier["url"], earlier["site"]
    return found


def _source(number: int, hit: SearchHit) -> Source:
    source = Source(number=number, title=clean_title(hit.title), url=hit.url, site=hit.source, excerpt=hit.excerpt)
    if hit.published is not None:
        source["published"] = hit.published.isoformat()
    return source


def _interleaved(results: Sequence[Sequence[SearchHit]]) -> Iterator[SearchHit]:
    return (hit for hit in chain.from_iterable(zip_longest(*results)) if hit is not None)
