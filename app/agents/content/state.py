"""What ContentAgent's graph carries from node to node."""

from __future__ import annotations

from enum import StrEnum
from typing import NotRequired, TypedDict

from app.agents.history import Turn


class SearchOutcome(StrEnum):
    """Whether the text rests on a web search, and why not."""

    SEARCHED = "searched"
    NOT_NEEDED = "not_needed"
    NOT_CONFIGURED = "not_configured"
    UNAVAILABLE = "unavailable"
    NOTHING_FOUND = "nothing_found"


class Source(TypedDict):
    """A page that the search returned, under the number by which the writer cites it (from 1)."""

    number: int
    title: str
    url: str
    site: str
    excerpt: str


class CitationState(TypedDict):
    """The fields of `Citation`."""

    source: str
    title: str
    url: str


class ContentState(TypedDict):
    """`today` is the day on which the task was made. `content` is the draft until `check_citations` has been there."""

    task: str
    today: str
    history: list[Turn]
    title: NotRequired[str]
    outline: NotRequired[list[str]]
    queries: NotRequired[list[str]]
    search_outcome: NotRequired[str]
    sources: NotRequired[list[Source]]
    content: NotRequired[str]
    citations: NotRequired[list[CitationState]]
