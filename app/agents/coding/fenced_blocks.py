"""The fenced code blocks of a Markdown text, and the language that each is tagged with. Pure.

Blocks in quotes and in lists count, however deep they are indented, because models indent them as they like. A tag may
be a language's name, a file's name or both; the first word that is one of them decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.agents.coding.known_languages import NOT_CODE, find_language, find_language_of_file

_QUOTE = re.compile(r"(?:[ \t]{0,3}>[ \t]?)+")
_OPENING = re.compile(r"(?P<indent>(?:[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t])*[ \t]*)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")
_CLOSING = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*$")
_SEPARATORS = re.compile(r"[\s,;|:(){}\[\]=\"'`]+")
_CLOSING_INDENT = 3  # CommonMark: a fence that is indented further is a line of the code
_TAG_CHARACTERS = 200


@dataclass(frozen=True)
class FencedBlock:
    """One block. `language` is None without a tag that names one; `is_code` is False for `text` and the like."""

    language: str | None
    size: int
    is_code: bool = True
    is_closed: bool = True


@dataclass(frozen=True)
class _Opening:
    quote: int
    indent: int
    fence: str
    info: str

    def is_closed_by(self, line: str) -> bool:
        """Returns True for a fence of the same sign, at least as long, without an info string."""
        closing = _CLOSING.match(line)
        return (
            closing is not None
            and closing["fence"].startswith(self.fence)
            and len(closing["indent"]) <= self.indent + _CLOSING_INDENT
        )


def fenced_blocks(text: str) -> Iterator[FencedBlock]:
    """Yields the blocks in order; a block that is never closed ends with its quote or with the text."""
    opening: _Opening | None = None
    size = 0
    for raw in text.split("\n"):
        depth, line = _unquoted(raw.rstrip("\r"), opening)
        if opening is not None and (depth < opening.quote or opening.is_closed_by(line)):
            yield _block(opening, size)
            # A line that has left the quote may open a block of its own.
            opening, size = (_opened(depth, line) if depth < opening.quote else None), 0
        elif opening is None:
            opening = _opened(depth, line)
        else:
            size += len(line) + 1
    if opening is not None:
        yield replace(_block(opening, size), is_closed=False)


def _unquoted(line: str, opening: _Opening | None) -> tuple[int, str]:
    """Returns how deep the line is quoted and the line without it; in a block `>` is code beyond the block's depth."""
    mark = _QUOTE.match(line)
    if mark is None:
        return 0, line
    depth = mark.group().count(">")
    if opening is None or depth <= opening.quote:
        return depth, line[mark.end() :]
    if opening.quote == 0:
        return 0, line
    return opening.quote, line.split(">", opening.quote)[-1]


def _opened(depth: int, line: str) -> _Opening | None:
    match = _OPENING.match(line)
    return _Opening(depth, len(match["indent"]), match["fence"], match["info"].strip()) if match else None


def _block(opening: _Opening, size: int) -> FencedBlock:
    language, is_code = read_tag(opening.info)
    return FencedBlock(language, size, is_code)


def read_tag(info: str) -> tuple[str | None, bool]:
    """Returns the language of an info string such as `python:app/main.py`, and False for a tag that says "no code"."""
    info = info[:_TAG_CHARACTERS]
    whole = find_language(info.strip("{}. "))
    if whole is not None:
        return whole, True
    for word in _SEPARATORS.split(info):
        name = re.sub(r"^(?:language|lang)-", "", word.lstrip("."), flags=re.IGNORECASE)
        language = find_language(name) or find_language_of_file(word)
        if language is not None:
            return language, True
        if name.lower() in NOT_CODE:
            return None, False
    return None, True
