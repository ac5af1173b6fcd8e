"""Web search as agents see it, and the only form in which its pages reach them.

The adapter is `app.tools.web_search`; agents and their tests know only this interface, which names no provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol


@dataclass(frozen=True)
class SearchHit:
    """One page that the search returned. `excerpt` is untrusted text, already cleaned and capped.

    `published` is the day of publication, if the provider gives it.
    """

    title: str
    url: str
    source: str
    excerpt: str
    published: date | None = None


class SearchTool(Protocol):
    """Web search as agents see it; the adapter is `app.tools.web_search`."""

    @property
    def available(self) -> bool:
        """Returns False if no search provider is configured."""

    async def search(self, query: str, *, request_id: str) -> Sequence[SearchHit]:
        """Returns the hits, best first. Raises SearchUnavailable or SearchRejected."""
