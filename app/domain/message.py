"""The messages of users and agents. A session consists of the tasks that share its id, oldest first."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from app.domain.agent import Citation
from app.domain.identity import SessionId, TaskId, Tenant


class MessageRole(StrEnum):
    """The author of a message."""

    USER = "user"
    ASSISTANT = "assistant"


class Message(BaseModel):
    """One turn of the conversation, as its task's document holds it.

    `citations` are those of an earlier answer, whose text cites them as `[1]` …; only the history of a run has them.
    """

    model_config = ConfigDict(frozen=True)

    role: MessageRole
    content: str
    created_at: AwareDatetime
    agent_name: str | None = None
    citations: tuple[Citation, ...] = ()


class Session(BaseModel):
    """A conversation: its owner, its beginning, its last use, and its tasks."""

    model_config = ConfigDict(frozen=True)

    id: SessionId
    tenant: Tenant
    created_at: AwareDatetime
    updated_at: AwareDatetime
    task_ids: tuple[TaskId, ...] = ()
