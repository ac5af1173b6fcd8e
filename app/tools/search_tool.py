"""Web search as agents see it, and the only shape in which its pages reach them.

The adapter is `app.tools.web_search`; agents and their tests know this seam only. It says nothing about a provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class SearchHit:
    """One page that the search returned; `excerpt` is untrusted text, already cleaned and capped."""

    title: str
    url: str
    source: str
    excerpt: str


class SearchTool(Protocol):
    """Web search as agents see it; the adapter is `app.tools.web_search`."""

    @property
    def available(self) -> bool:
        """False where no search provider is configured."""

    async def search(self, query: str, *, request_id: str) -> Sequence[SearchHit]:
        """Raises SearchUnavailable or SearchRejected."""
