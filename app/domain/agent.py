"""An agent as seen from outside: its published description, and its answer."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Citation(BaseModel):
    """A source that the search returned, never one that a model made up. `source` is its site, `url` is absolute."""

    model_config = ConfigDict(frozen=True)

    source: str
    title: str
    url: str


class CutOff(StrEnum):
    """The reason why a text does not come to its end: the limit of tokens, the budget, or a fault of a continuation."""

    LIMIT = "limit"
    BUDGET = "budget"
    FAULT = "fault"


class AgentOutput(BaseModel):
    """The answer of any agent. `code_language` is lower case, None if the answer is not code.

    `truncated`: there is more that was not written, because of `cut_off`, which otherwise says nothing.
    """

    model_config = ConfigDict(frozen=True)

    agent_name: str
    content: str
    code_language: str | None = None
    citations: tuple[Citation, ...] = ()
    truncated: bool = False
    cut_off: CutOff = CutOff.LIMIT


class AgentCard(BaseModel):
    """An agent as workers publish it to the `agents` collection. The router's prompt is built from these.

    `name` is the registry's name ("ContentAgent"); `agent_type` its kind ("content"), a filter and metric label.
    """

    model_config = ConfigDict(frozen=True)

    name: str = Field(pattern=r"^[A-Z][A-Za-z0-9]{0,62}$")
    agent_type: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    description: str = Field(min_length=1, max_length=2000)
    version: str
    tools: tuple[str, ...] = ()
    routable: bool = True
    published_at: AwareDatetime | None = None
