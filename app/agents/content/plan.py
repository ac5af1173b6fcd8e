"""The node `plan`: title, outline and search queries, decided before any page from outside is read."""

from __future__ import annotations

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
QUERY_CHARACTERS = 200
# A title, some twenty headings and four queries.
PLAN_TOKENS = 800


class ArticlePlan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    outline: list[str] = Field(description="Headings or parts, in order.")
    queries: list[str] = Field(max_length=MAX_QUERIES, description="Web searches; may be empty.")


async def plan(state: ContentState, runtime: Runtime[AgentContext]) -> dict[str, Any]:
    """Plans the text. If no search is possible or needed, `queries` is empty and `search_outcome` has the reason."""
    messages = [
        ChatMessage("system", prompts.PLAN_SYSTEM.format(today=state["today"], max_queries=MAX_QUERIES)),
        *to_chat(state["history"]),
        ChatMessage("user", state["task"]),
    ]
    completion = await runtime.context.llm.complete(
        messages, role=ModelRole.CONTENT, schema=ArticlePlan, max_tokens=PLAN_TOKENS
    )
    if completion.parsed is None:
        raise LLMOutputInvalid("The model gave no structured plan.", attempts=completion.attempts)
    drawn = completion.parsed
    output: dict[str, Any] = {"title": drawn.title, "outline": drawn.outline, "queries": [], "sources": []}
    # From here on the queries are fixed: nothing that a page demands can become a search.
    queries = clean_queries(drawn.queries)
    if not runtime.context.search.available:
        output["search_outcome"] = SearchOutcome.NOT_CONFIGURED.value
    elif not queries:
        output["search_outcome"] = SearchOutcome.NOT_NEEDED.value
    else:
        output["queries"] = queries
    return output


def clean_queries(queries: list[str]) -> list[str]:
    """Returns at most four distinct, non-empty queries, each on one line."""
    one_line = (" ".join(query.split())[:QUERY_CHARACTERS] for query in queries)
    return list(dict.fromkeys(query for query in one_line if query))[:MAX_QUERIES]
