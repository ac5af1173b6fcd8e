"""The node `write`: the long text, streamed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.runtime import Runtime

from app.agents.base import AgentContext
from app.agents.content import prompts
from app.agents.content.session_sources import known_sources
from app.agents.content.state import ContentState, Source
from app.agents.history import to_chat
from app.llm.interface import ChatMessage, ModelRole
from app.tools.untrusted import enclose

PAGE_CHARACTERS = 2_500


async def write(state: ContentState, runtime: Runtime[AgentContext]) -> dict[str, Any]:
    # Streamed: an unstreamed answer of some thousand tokens would hit the timeout after it was billed.
    completion = await runtime.context.llm.chat(build_messages(state), role=ModelRole.CONTENT)
    return {"content": completion.text}


def build_messages(state: ContentState) -> list[ChatMessage]:
    sources = known_sources(state)
    outline = "\n".join(f"- {heading}" for heading in state["outline"])
    request = prompts.TASK.format(task=state["task"], title=state["title"], outline=outline)
    if sources:
        request += prompts.SOURCES.format(sources=_numbered(sources))
    return [
        ChatMessage("system", prompts.WRITE_SYSTEM.format(today=state["today"], grounding=_grounding(state))),
        *to_chat(state["history"]),
        ChatMessage("user", request),
    ]


def _grounding(state: ContentState) -> str:
    earlier = prompts.SESSION_SOURCES if state.get("session_sources") else ""
    if state["sources"]:
        return prompts.WITH_SOURCES + earlier
    return prompts.WITHOUT_NEW_SOURCES + earlier if earlier else prompts.WITHOUT_SOURCES


def _numbered(sources: Sequence[Source]) -> str:
    return "\n\n".join(
        prompts.SOURCE.format(
            number=source["number"],
            page=enclose(f"{source['title']}\n{source['excerpt']}", source=source["url"], limit=PAGE_CHARACTERS),
        )
        for source in sources
    )
