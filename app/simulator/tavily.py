"""Tavily's `/search`: pages made up from the query, at reserved addresses; the same query gets the same pages.

A query with the word `sim-injection` (or the fault `injection`) gets the pages of `injections` instead, which try to
take over their reader.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from app.simulator import injections
from app.simulator.answers.reading import slug, title_case
from app.simulator.core import Simulator, Target
from app.simulator.credentials import check_credential
from app.simulator.dialect import Unacceptable, dump
from app.simulator.ledger import Call
from app.simulator.prompt import Json
from app.simulator.scripted_faults import Effect, Failure, FaultPlan

INJECTION_WORD = "sim-injection"
_TARGET = Target("tavily", "search", "search")
_MISSING_QUERY = Failure(400, "invalid_request", "Query is missing.")
_DEFAULT_RESULTS = 5
_QUOTA_STATUS = 432  # Tavily's own status for a plan that is used up
_SITES: Sequence[tuple[str, str, str]] = (
    ("https://en.encyclopedia.example.org/wiki/{slug}", "{title} - Open Encyclopedia", "overview"),
    ("https://docs.example.com/guides/{slug}", "{title}: a practical guide", "guide"),
    ("https://journal.example.net/reviews/{slug}", "A review of {title}", "review"),
    ("https://blog.example.com/2026/{slug}-explained", "{title}, explained", "blog"),
    ("https://statistics.example.org/reports/{slug}", "{title} in numbers", "numbers"),
    ("https://news.example.net/analysis/{slug}", "What is changing in {title}", "news"),
    ("https://lectures.example.edu/{slug}", "Lecture notes on {title}", "lecture"),
)
_CONTENTS: dict[str, str] = {
    "overview": "{title} covers the ideas, methods and institutions that the field has agreed on over time. Its "
    "history is usually told in three periods: early experiments, standardisation, and wide adoption.",
    "guide": "This guide to {topic} starts with the questions to ask before anything is bought or built, goes on with "
    "a small first step that can be measured, and ends with a checklist for daily work.",
    "review": "Across the studies reviewed, the benefits of {topic} were largest where goals had been written down "
    "beforehand; cost and lack of trained people were the obstacles named most often.",
    "blog": "Most misunderstandings about {topic} come from mixing up what is possible with what is practical. A few "
    "examples show where the line runs and why it keeps moving.",
    "numbers": "In the latest survey 62% of the organisations asked had taken up {topic} in some form, up from 41% "
    "two years before; 18% had stopped a first attempt and begun again.",
    "news": "Three developments have changed the debate on {topic} this year: clearer rules, falling costs, and the "
    "first long-term results. Experts disagree on which of them matters most.",
    "lecture": "These notes define the terms used in {topic}, derive the main results from first principles and close "
    "with exercises and further reading.",
}


def endpoint(simulator: Simulator) -> Callable[[Request], Awaitable[ASGIApp]]:
    async def search(request: Request) -> ASGIApp:
        try:
            payload: Json = json.loads(await request.body())
            query, wanted = str(payload["query"]), int(payload.get("max_results") or _DEFAULT_RESULTS)
        except (AttributeError, KeyError, TypeError, ValueError):
            return _refusal(check_credential(request.headers, _TARGET.provider) or _MISSING_QUERY)

        def respond(call: Call, plan: FaultPlan) -> ASGIApp:
            if not query.strip():
                raise Unacceptable(_MISSING_QUERY)
            hostile = Effect.INJECTION in plan.effects or INJECTION_WORD in query.lower()
            pages = [] if Effect.EMPTY in plan.effects else find_pages(query, limit=wanted, hostile=hostile)
            return simulator.send_json(call, plan, _listing(query, pages))

        return await simulator.serve(request, _TARGET, refuse=_refusal, respond=respond)

    return search


def find_pages(query: str, *, limit: int, hostile: bool) -> list[Json]:
    """Makes up Tavily's results, best first; with `hostile` all except the first are injection pages."""
    # The query decides where the list of sites begins, so that different queries find different pages first.
    start = zlib.crc32(query.lower().encode())
    topic = " ".join(query.split())[:120]
    sites = [_SITES[(start + at) % len(_SITES)] for at in range(len(_SITES))]
    words = {"title": title_case(topic), "topic": topic, "slug": slug(topic)}
    pages = [
        (title.format_map(words), url.format_map(words), _CONTENTS[kind].format_map(words))
        for url, title, kind in sites
    ]
    if hostile:
        corpus = injections.PAGES
        chosen = [corpus[(start + at) % len(corpus)] for at in range(len(corpus))]
        pages = pages[:1] + [(page.title, page.url, page.content) for page in chosen]
    return [
        {"title": title, "url": url, "content": content, "score": round(0.97 - 0.06 * at, 2), "raw_content": None}
        for at, (title, url, content) in enumerate(pages[: max(0, limit)])
    ]


def _listing(query: str, pages: list[Json]) -> Json:
    return {
        "query": query,
        "follow_up_questions": None,
        "answer": None,
        "images": [],
        "results": pages,
        "response_time": 0.42,
        "request_id": f"sim-{zlib.crc32(query.encode()):08x}",
    }


def _refusal(failure: Failure) -> Response:
    status = _QUOTA_STATUS if failure.code == "insufficient_quota" else failure.status
    headers = {} if failure.retry_after is None else {"retry-after": str(failure.retry_after)}
    content = dump({"detail": {"error": failure.message}})
    return Response(content, status_code=status, headers=headers, media_type="application/json")
