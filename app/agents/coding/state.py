"""The state of CodeAgent's graph."""

from __future__ import annotations

from typing import NotRequired

from app.agents.base import CutState
from app.agents.history import Turn


class CodeState(CutState):
    task: str
    history: list[Turn]
    content: NotRequired[str]
    code_language: NotRequired[str | None]
