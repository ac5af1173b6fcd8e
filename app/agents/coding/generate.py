"""The node `generate`: the one model call of CodeAgent."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from app.agents.base import AgentContext, mark_truncated
from app.agents.coding import prompts
from app.agents.coding.language import read_language
from app.agents.coding.state import CodeState
from app.agents.history import to_chat
from app.llm.interface import ChatMessage, ModelRole


async def generate(state: CodeState, runtime: Runtime[AgentContext]) -> dict[str, Any]:
    messages = [
        ChatMessage("system", prompts.SYSTEM),
        *to_chat(state["history"]),
        ChatMessage("user", state["task"]),
    ]
    completion = await runtime.context.llm.chat(messages, role=ModelRole.CODE)
    content, language = read_language(completion.text, task=state["task"])
    return {"content": content, "code_language": language, **mark_truncated(completion)}
