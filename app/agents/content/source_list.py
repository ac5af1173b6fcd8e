"""The removal of the list of sources that models put under a text although the prompt forbids it. Pure.

The checked list replaces it; the text does not cite a source that only this list names.
"""

from __future__ import annotations

import re

_HEADING = re.compile(r"^\s{0,3}(?:#{1,6}\s+(?P<marked>.+?)\s*#*|\*\*(?P<bold>[^*]+)\*\*|(?P<plain>[A-Za-z ]+):)\s*$")
_TITLES = frozenset({"sources", "references", "citations", "bibliography", "works cited"})
_ENTRY = re.compile(r"^\s*(?:[-*•]\s|\d{1,3}[.)]\s|\[|<?https?://|-{3,}\s*$|$)")


def without_source_list(text: str) -> str:
    """Returns the text up to a final section called "Sources" or the like that holds nothing but list entries."""
    lines = text.rstrip().split("\n")
    # Backwards from the end: a section with that title further up is part of the text.
    for index in range(len(lines) - 1, -1, -1):
        heading = _HEADING.match(lines[index])
        if heading:
            title = heading["marked"] or heading["bold"] or heading["plain"]
            if title.strip(" :*").lower() in _TITLES:
                return "\n".join(lines[:index]).rstrip().removesuffix("---").rstrip()
            return text
        if not _ENTRY.match(lines[index]):
            return text
    return text
