"""The node `plan`: title, outline and search queries, decided before any page from outside is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.runtime import Runtime
from pydantic import BaseModel, ConfigDict, Field

from app.agents.base import AgentContext
from app.agents.content import prompts
from app.agents.content.state import ContentState, SearchOutcome
from app.agents.history import to_chat
from app.errors import LLMOutputInvalid
from app.llm.interface import ChatMessage, ModelRole

MAX_QUERIES = 4
MAX_SHORT_QUERIES = 2
QUERY_CHARACTERS = 200
# A title, some twenty headings and four queries.
PLAN_TOKENS = 800


class ArticlePlan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    outline: list[str] = Field(description="Headings or parts, in order; empty for a short answer.")
    queries: list[str] = Field(max_length=MAX_QUERIES, description="Web searches; may be empty.")


async def plan(state: ContentState, runtime: Runtime[AgentContext]) -> dict[str, Any]:
    """Plans the text. If no search is needed or possible, `queries` is empty and `search_outcome` has the reason."""
    completion = await runtime.context.llm.complete(
        build_messages(state), role=ModelRole.CONTENT, schema=ArticlePlan, max_tokens=PLAN_TOKENS
    )
    if completion.parsed is None:
        raise LLMOutputInvalid("The model gave no structured plan.", attempts=completion.attempts)
    drawn = completion.parsed
    output: dict[str, Any] = {"title": drawn.title, "outline": drawn.outline, "queries": [], "sources": []}
    # From here on the queries are fixed: nothing that a page demands can become a search.
    queries = clean_queries(drawn.queries, limit=MAX_SHORT_QUERIES if is_short(drawn.outline) else MAX_QUERIES)
    # Needed comes before possible: a poem that was written without a search lacks nothing.
    if not queries:
        output["search_outcome"] = SearchOutcome.NOT_NEEDED.value
    elif not runtime.context.search.available:
        output["search_outcome"] = SearchOutcome.NOT_CONFIGURED.value
    else:
        output["queries"] = queries
    return output


def build_messages(state: ContentState) -> list[ChatMessage]:
    system = prompts.PLAN_SYSTEM.format(
        today=state["today"], max_queries=MAX_QUERIES, max_short_queries=MAX_SHORT_QUERIES
    )
    return [ChatMessage("system", system), *to_chat(state["history"]), ChatMessage("user", state["task"])]


def is_short(outline: Sequence[str]) -> bool:
    """Returns True for the plan of an answer of some sentences, which has no parts."""
    return len(outline) <= 1


def clean_queries(queries: Sequence[str], *, limit: int) -> list[str]:
    """Returns at most `limit` distinct, non-empty queries, each on one line."""
    one_line = (" ".join(query.split())[:QUERY_CHARACTERS] for query in queries)
    return list(dict.fromkeys(query for query in one_line if query))[:limit]
