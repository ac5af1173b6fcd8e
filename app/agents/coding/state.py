"""The state of CodeAgent's graph."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from app.agents.history import Turn


class CodeState(TypedDict):
    task: str
    history: list[Turn]
    content: NotRequired[str]
    code_language: NotRequired[str | None]
    truncated: NotRequired[bool]
