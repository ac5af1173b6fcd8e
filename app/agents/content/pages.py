"""The pages that an answer may lead to: the sources of its session, those that the user named, and examples. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from app.agents.content.links import is_example, is_reserved, named_pages, url_key
from app.agents.content.state import Source


class Pages:
    """The sources by their addresses, and the addresses in `user_text`, all that the user has written."""

    def __init__(self, sources: Sequence[Source], *, user_text: str) -> None:
        self._numbers: dict[str | None, int] = {}
        for source in sources:
            self._numbers.setdefault(url_key(source["url"]), source["number"])
        self._numbers.pop(None, None)
        self._named = named_pages(user_text)

    def number_of(self, address: str) -> int | None:
        """Returns the number of the source behind an address, or None."""
        return self._numbers.get(url_key(address))

    def is_allowed(self, address: str) -> bool:
        """Returns True for an address that may be shown although it is no source."""
        return url_key(address) in self._named or is_example(address)

    def is_allowed_in_code(self, address: str) -> bool:
        """Returns True for an address that may stand in code, which cannot be followed by a click."""
        return self.number_of(address) is not None or self.is_allowed(address) or is_reserved(address)
