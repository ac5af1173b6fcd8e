"""The check of one text against the pages that it may lead to and cite. Pure.

The text is read and edited until a reading finds nothing to remove, because a removal may uncover something: a link
inside a link, or two halves of an address. A text that cannot be read in good time, or not to the end, loses its
brackets and tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from app.agents.content.citation_context import is_attached
from app.agents.content.citation_marks import Mark, read_marks, write_firm_marks, write_marks
from app.agents.content.edits import Edit, apply_edits
from app.agents.content.markdown import Markdown, TooTangled, read_markdown
from app.agents.content.pages import Pages
from app.agents.content.removal import removal_edits
from app.agents.content.state import Source

MOST_READINGS = 10

# Not the indentation of the first line: it makes the difference between code and what it shows.
_BLANK_LINES = re.compile(r"\A(?:[ \t\r\f\v]*\n)+")
_LINE_START = re.compile(r"(?:\A|[\r\n])[ \t>*+.)\d-]{0,100}\Z")
_OPENING = re.compile(r"<|\[(?!\d{1,3}\](?![(:]))")


@dataclass(frozen=True)
class CheckedText:
    """A text after the check. `dropped` counts the numbers and addresses that were removed."""

    text: str
    cited: tuple[Source, ...]
    dropped: int


class TextCheck:
    """The check of the texts of one task.

    `removed` returns what stands in the place of an address without words. Citations with the numbers `own` stay as
    they are: the user wrote them, and there are no sources.
    """

    def __init__(
        self,
        pages: Pages,
        sources: Sequence[Source],
        *,
        removed: Callable[[], str],
        own: Collection[int] = (),
    ) -> None:
        self._pages = pages
        self._own = frozenset(own)
        self._sources = {source["number"]: source for source in sources}
        self._removed = removed

    def apply(self, text: str) -> CheckedText:
        """Reads and edits the text until nothing is left to remove, then numbers its citations."""
        dropped = 0
        for _ in range(MOST_READINGS):
            try:
                markdown = read_markdown(text)
            except TooTangled:
                break
            marks = self._marks(markdown)
            changed, removed = apply_edits(text, self._edits(markdown, marks))
            dropped += removed
            if changed == text:
                return self._numbered(text, marks, dropped)
            text = changed
        return self._plain(text, dropped)

    def _edits(self, markdown: Markdown, marks: Sequence[Mark]) -> Iterator[Edit]:
        yield from self._removals(markdown)
        end = -1
        for mark in marks:
            if not self._is_settled(markdown.text, mark):
                yield self._settle(markdown.text, mark, follows=mark.start == end)
            end = mark.end

    def _marks(self, markdown: Markdown) -> list[Mark]:
        marks = read_marks(markdown.text, markdown.prose, known=self._sources)
        return [mark for mark in marks if not self._own.issuperset(mark.numbers)]

    def _is_settled(self, text: str, mark: Mark) -> bool:
        forms = (write_marks(mark.numbers), write_firm_marks(mark.numbers))
        return text[mark.start : mark.end] in forms and all(number in self._sources for number in mark.numbers)

    def _settle(self, text: str, mark: Mark, *, follows: bool) -> Edit:
        """Leaves of a citation the numbers that a source has."""
        known = [number for number in mark.numbers if number in self._sources]
        dropped = len(mark.numbers) - len(known)
        if not known:
            start = mark.start - 1 if text[mark.start - 1 : mark.start] == " " else mark.start
            return Edit(start, mark.end, mark.label.rstrip(), dropped)
        space = " " if is_attached(text, mark.start) and not follows else ""
        return Edit(mark.start, mark.end, space + mark.label + write_firm_marks(known), dropped)

    def _plain(self, text: str, dropped: int) -> CheckedText:
        """Takes all that can hold an address out of a text that cannot be read in good time."""
        markdown = Markdown(_OPENING.sub("", text))
        text, first = apply_edits(markdown.text, self._edits(markdown, self._marks(markdown)))
        # Numbers that are gone may have joined their neighbours to an address. This change joins nothing.
        text, second = apply_edits(text, self._removals(Markdown(text)))
        return self._numbered(text, self._marks(Markdown(text)), dropped + first + second)

    def _removals(self, markdown: Markdown) -> Iterator[Edit]:
        return removal_edits(markdown, self._pages, known=frozenset(self._sources), removed=self._removed)

    def _would_begin_a_link(self, text: str, mark: Mark) -> bool:
        after = text[mark.end : mark.end + 1]
        if after == ":":
            return _LINE_START.search(text, max(0, mark.start - 101), mark.start) is not None
        return after == "("

    def _numbered(self, text: str, marks: Sequence[Mark], dropped: int) -> CheckedText:
        """Numbers the citations in the order of their first use. This last change must not make a link of anything."""
        order: dict[int, int] = {}
        edits = []
        for mark in marks:
            known = [number for number in mark.numbers if number in self._sources]
            positions = [order.setdefault(number, len(order) + 1) for number in known]
            space = " " if not known or self._would_begin_a_link(text, mark) else ""
            edits.append(Edit(mark.start, mark.end, write_marks(positions) + space))
        numbered, _ = apply_edits(text, edits)
        cited = tuple(self._sources[number] for number in order)
        return CheckedText(_BLANK_LINES.sub("", numbered).rstrip(), cited, dropped)
