"""The edits that take foreign addresses out of a text, and put numbers in the place of links to sources. Pure.

The parts come from the parser; each kind of part has its rule here. A rule may uncover something new, which the next
reading of the text finds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from app.agents.content.citation_context import is_attached, is_raised_citation
from app.agents.content.citation_marks import numbers_of, write_firm_marks
from app.agents.content.edits import Edit
from app.agents.content.links import find_addresses, is_place, locate_addresses, locate_in_code
from app.agents.content.markdown import Html, Link, Markdown
from app.agents.content.pages import Pages
from app.agents.content.raw_html import Tag, is_harmless, is_plain_comment, read_tag

_NUMBER_LABEL = re.compile(r"\s*\[?\\?\[?\^?\s*(\d{1,3})\s*\\?\]?\]?\s*")
_RAISED_NUMBER = re.compile(r"\s*\[?\s*(\d{1,3}(?:\s*,\s*\d{1,3})*)\s*\]?\s*")
_OPENINGS = re.compile(r"[\[<]")


def removal_edits(
    markdown: Markdown, pages: Pages, *, known: frozenset[int], removed: Callable[[], str]
) -> Iterator[Edit]:
    """Yields the edits; `removed` returns what stands in the place of a foreign address without words of its own."""
    rules = _Rules(markdown, pages, known, removed)
    yield from rules.definitions()
    for link in markdown.links:
        yield from rules.link(link)
    yield from rules.html()
    yield from rules.bare_addresses()
    yield from rules.code()
    yield from rules.unplaced()


class _Rules:
    """The rules for one reading of one text."""

    def __init__(self, markdown: Markdown, pages: Pages, known: frozenset[int], removed: Callable[[], str]) -> None:
        self._markdown = markdown
        self._text = markdown.text
        self._pages = pages
        self._known = known
        self._removed = removed

    def definitions(self) -> Iterator[Edit]:
        """Cuts all definitions: the links that name them are written out or removed."""
        for definition in self._markdown.definitions:
            yield Edit(definition.start, definition.end, "", int(self._is_foreign(definition.target)))

    def link(self, link: Link) -> Iterator[Edit]:
        number = self._pages.number_of(link.target)
        label = self._text[slice(*link.label)]
        labelled = _NUMBER_LABEL.fullmatch(label)
        if number is not None:
            yield from self._to_source(link, number, bare=link.auto or labelled is not None or _is_bare(label))
        elif labelled and not link.image and int(labelled.group(1)) in self._known and _is_local(link.target):
            yield self._mark(link.start, link.end, int(labelled.group(1)))
        elif self._may_stay(link):
            if not link.inline:
                yield Edit(link.label[1], link.end, f"](<{link.target}>)")
        elif link.auto:
            yield Edit(link.start, link.end, self._removed(), 1)
        elif link.inline or labelled is None:
            # Counted at the definition if there is one.
            yield from self._to_words(link, dropped=int(link.inline), empty=labelled is not None)

    def html(self) -> Iterator[Edit]:
        """Cuts tags that are not harmless. A link to a source becomes its words and the source's number."""
        parts = sorted(set(self._markdown.html), key=lambda part: (part.start, part.end))
        closing = _closing_tags(parts)
        raised = dict(self._raised_numbers(parts))
        for part in parts:
            tag = read_tag(part.text)
            if part.start in raised:
                yield raised[part.start]
            elif tag is None:
                yield from self._without_tag(part)
            else:
                yield from self._tag(part, tag, closing.get(part.start))

    def _tag(self, part: Html, tag: Tag, closing: Html | None) -> Iterator[Edit]:
        number = self._pages.number_of(tag.link_target) if tag.link_target is not None else None
        if number is None and is_harmless(tag, self._may_lead_to):
            return
        mark = "" if number is None else write_firm_marks([number])
        if closing is not None:
            yield Edit(closing.start, closing.end, f" {mark}" if mark else "")
        beside = f"{mark} " if mark and closing is None else ""
        yield Edit(part.start, part.end, tag.description + beside, int(number is None and not tag.closing))

    def bare_addresses(self) -> Iterator[Edit]:
        for start, end in [*self._markdown.prose, *self._markdown.infos]:
            for found in locate_addresses(self._text[start:end]):
                number = self._pages.number_of(found.address)
                place = (start + found.start, start + found.end)
                if number is not None:
                    yield self._mark(*place, number)
                elif not self._pages.is_allowed(found.address):
                    yield Edit(*place, self._removed(), 1)

    def code(self) -> Iterator[Edit]:
        """Cuts foreign addresses out of code. Those of sources stay: a number in their place would break the code."""
        for start, end in self._markdown.code:
            for found in locate_in_code(self._text[start:end]):
                if not self._pages.is_allowed_in_code(found.address):
                    yield Edit(start + found.start, start + found.end, self._removed(), 1)

    def unplaced(self) -> Iterator[Edit]:
        """Takes the brackets out of lines whose links have no known place."""
        for start, end in self._markdown.unplaced:
            for match in _OPENINGS.finditer(self._text[start:end]):
                yield Edit(start + match.start(), start + match.end(), "")

    def _to_source(self, link: Link, number: int, *, bare: bool) -> Iterator[Edit]:
        if bare:
            yield self._mark(link.start, link.end, number)
            return
        yield Edit(link.start, link.label[0], "")
        words_end = link.label[0] + len(self._text[slice(*link.label)].rstrip())
        yield Edit(words_end, link.end, f" {write_firm_marks([number])}")

    def _to_words(self, link: Link, *, dropped: int, empty: bool) -> Iterator[Edit]:
        if empty:
            yield Edit(link.start, link.end, "", dropped)
            return
        yield Edit(link.start, link.label[0], "", dropped)
        yield Edit(link.label[1], link.end, "")

    def _may_stay(self, link: Link) -> bool:
        # A browser fetches an image without a click, with whatever its address gives away: it stays as words only.
        if link.image or any(self._is_foreign(address) for address in find_addresses(link.title)):
            return False
        return self._may_lead_to(link.target)

    def _may_lead_to(self, target: str) -> bool:
        return is_place(target) or self._pages.is_allowed(target)

    def _is_foreign(self, target: str) -> bool:
        return self._pages.number_of(target) is None and not self._may_lead_to(target)

    def _mark(self, start: int, end: int, number: int) -> Edit:
        space = " " if is_attached(self._text, start) else ""
        return Edit(start, end, space + write_firm_marks([number]))

    def _without_tag(self, part: Html) -> Iterator[Edit]:
        if part.text == "<":
            yield Edit(part.start, part.end, "&lt;")
        elif not is_plain_comment(part.text):
            yield Edit(part.start, part.end, "", int(bool(find_addresses(part.text))))

    def _raised_numbers(self, parts: list[Html]) -> Iterator[tuple[int, Edit]]:
        """Yields `<sup>2</sup>` as a citation if that is one, by the place of its first tag."""
        for opening, closing in pairwise(parts):
            if opening.text.lower() != "<sup>" or closing.text.lower() != "</sup>":
                continue
            listed = _RAISED_NUMBER.fullmatch(self._text[opening.end : closing.start])
            numbers = numbers_of(listed.group(1)) if listed else ()
            known = bool(numbers) and all(number in self._known for number in numbers)
            if known and is_raised_citation(self._text, opening.start, closing.end):
                space = " " if is_attached(self._text, opening.start) else ""
                yield opening.start, Edit(opening.start, closing.end, space + write_firm_marks(numbers))


def _closing_tags(parts: Sequence[Html]) -> dict[int, Html]:
    """Returns the closing tag of each `<a …>`, by the place of the opening one."""
    closing: dict[int, Html] = {}
    opened: list[Html] = []
    for part in parts:
        tag = read_tag(part.text)
        if tag is None or tag.name != "a":
            continue
        if not tag.closing:
            opened.append(part)
        elif opened:
            closing[opened.pop().start] = part
    return closing


def _is_bare(label: str) -> bool:
    """Returns True for a label without words: nothing, or an address."""
    return not label.strip() or find_addresses(label.strip()) == [label.strip()]


def _is_local(target: str) -> bool:
    """Returns True for a target within the text, such as `#ref1`, `source` or nothing."""
    return re.fullmatch(r"#?[\w-]*", target) is not None
