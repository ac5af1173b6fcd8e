"""Changes of parts of a text, which leave the rest as it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One part of a text, and the text in its place. `dropped` counts the citations and addresses that it removes."""

    start: int
    end: int
    text: str
    dropped: int = 0


def apply_edits(text: str, edits: Iterable[Edit]) -> tuple[str, int]:
    """Returns the changed text, and how much was dropped. Of edits that overlap, the first and longest is made."""
    parts: list[str] = []
    end = dropped = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, -edit.end)):
        if edit.start >= end:
            parts += [text[end : edit.start], edit.text]
            end = edit.end
            dropped += edit.dropped
    return "".join([*parts, text[end:]]), dropped
