"""What was said: by the user, by an agent. A session is the tasks that share an id, oldest first."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from app.domain.identity import SessionId, TaskId, Tenant


class MessageRole(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"


class Message(BaseModel):
    """One turn of the conversation, as it stands in its task's document."""

    model_config = ConfigDict(frozen=True)

    role: MessageRole
    content: str
    created_at: AwareDatetime
    agent_name: str | None = None


class Session(BaseModel):
    """A conversation: who owns it, when it began and when it was last used."""

    model_config = ConfigDict(frozen=True)

    id: SessionId
    tenant: Tenant
    created_at: AwareDatetime
    updated_at: AwareDatetime
    task_ids: tuple[TaskId, ...] = ()
