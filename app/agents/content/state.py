"""The state of ContentAgent's graph."""

from __future__ import annotations

from enum import StrEnum
from typing import NotRequired, TypedDict

from app.agents.base import CutState
from app.agents.history import Turn


class SearchOutcome(StrEnum):
    """The outcome of the web search for a text, or the reason why there was none."""

    SEARCHED = "searched"
    NOT_NEEDED = "not_needed"
    NOT_CONFIGURED = "not_configured"
    UNAVAILABLE = "unavailable"
    NOTHING_FOUND = "nothing_found"


class Source(TypedDict):
    """A page that a search of the session returned, under the number by which the session cites it (from 1).

    `excerpt` is empty for a page that only earlier answers cite. `published` is its day of publication in the form of
    ISO 8601, if the search told it.
    """

    number: int
    title: str
    url: str
    site: str
    excerpt: str
    published: NotRequired[str]


class CitationState(TypedDict):
    """The fields of `Citation`."""

    source: str
    title: str
    url: str


class ContentState(CutState):
    """The state. `today` is the day of the task's acceptance; `content` is a draft until `check_citations` ran.

    `session_sources` are the pages that the answers in `history` cite; `sources` are those of this task's search. The
    first is left out if there are none, so that a task of an older version keeps the hash of its inputs.
    """

    task: str
    today: str
    history: list[Turn]
    session_sources: NotRequired[list[Source]]
    title: NotRequired[str]
    outline: NotRequired[list[str]]
    queries: NotRequired[list[str]]
    search_outcome: NotRequired[str]
    sources: NotRequired[list[Source]]
    content: NotRequired[str]
    citations: NotRequired[list[CitationState]]
