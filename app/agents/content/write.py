"""The node `write`: the long text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.runtime import Runtime

from app.agents.base import AgentContext, mark_truncated
from app.agents.content import prompts
from app.agents.content.plan import is_short
from app.agents.content.session_sources import known_sources
from app.agents.content.state import ContentState, Source
from app.agents.history import to_chat
from app.llm.interface import ChatMessage, ModelRole
from app.tools.untrusted import enclose

PAGE_CHARACTERS = 2_500
SHORT_PAGE_CHARACTERS = 1_000  # of each page for a short answer: ten pages make some 2,500 tokens


async def write(state: ContentState, runtime: Runtime[AgentContext]) -> dict[str, Any]:
    completion = await runtime.context.llm.chat(build_messages(state), role=ModelRole.CONTENT)
    return {"content": completion.text, **mark_truncated(completion)}


def build_messages(state: ContentState) -> list[ChatMessage]:
    sources = known_sources(state)
    short = is_short(state["outline"])
    outline = "\n".join(f"- {heading}" for heading in state["outline"])
    request = prompts.TASK.format(task=state["task"], title=state["title"], outline=outline)
    if sources:
        limit = SHORT_PAGE_CHARACTERS if short else PAGE_CHARACTERS
        request += prompts.SOURCES.format(sources=_numbered(sources, limit=limit))
    length = prompts.SHORT if short else prompts.LONG
    system = prompts.WRITE_SYSTEM.format(today=state["today"], grounding=length + _grounding(state))
    return [ChatMessage("system", system), *to_chat(state["history"]), ChatMessage("user", request)]


def _grounding(state: ContentState) -> str:
    earlier = prompts.SESSION_SOURCES if state.get("session_sources") else ""
    if state["sources"]:
        return prompts.WITH_SOURCES + earlier
    return prompts.WITHOUT_NEW_SOURCES + earlier if earlier else prompts.WITHOUT_SOURCES


def _numbered(sources: Sequence[Source], *, limit: int) -> str:
    return "\n\n".join(
        prompts.SOURCE.format(number=source["number"], page=enclose(_page(source), source=source["url"], limit=limit))
        for source in sources
    )


def _page(source: Source) -> str:
    published = source.get("published")
    dated = prompts.PUBLISHED.format(date=published) if published else ""
    return f"{source['title']}\n{dated}{source['excerpt']}"
