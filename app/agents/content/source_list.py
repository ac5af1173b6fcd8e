"""Takes out the list of sources that models put under a text although they were told not to. Pure.

The checked list replaces it; a source that only this list names is not cited by the text.
"""

from __future__ import annotations

import re

_HEADING = re.compile(r"^\s{0,3}(?:#{1,6}\s+(?P<marked>.+?)\s*#*|\*\*(?P<bold>[^*]+)\*\*|(?P<plain>[A-Za-z ]+):)\s*$")
_TITLES = frozenset({"sources", "references", "citations", "bibliography", "works cited"})
_ENTRY = re.compile(r"^\s*(?:[-*•]\s|\d{1,3}[.)]\s|\[|<?https?://|-{3,}\s*$|$)")


def without_source_list(text: str) -> str:
    """The text up to a final section that is called "Sources" or the like and holds nothing but list entries."""
    lines = text.rstrip().split("\n")
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
