"""The parts of a Markdown text with their places in it: code, links, images, raw HTML, definitions, and the prose.

A parser decides what is what. Its tokens have no places, so this module adds them: a part can then be cut, and all the
rest stays as it was, byte for byte.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.agents.content.raw_html import tag_spans

if TYPE_CHECKING:
    from markdown_it.token import Token

    from app.agents.content.markdown_parser import FoundLink, Record

Span = tuple[int, int]

# Without one of these a text has no code, link, image, definition or HTML.
_MARKS = re.compile(r"[`<\t]|~~~|    |\](?:\(|:)")
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|\Z)")
_DELIMITERS = re.compile(r"^[ \t>]*+[-|:][-|: \t]*+$", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n[ \t>]*+(?:\n|\Z)")


class TooTangled(Exception):
    """The text cannot be read in good time and by all readers alike: it is nested too deep, or full of brackets."""


@dataclass(frozen=True)
class Link:
    """A link, an image or an autolink. `target` is decoded; `inline` is False for one that names a definition."""

    start: int
    end: int
    label: Span
    target: str
    title: str
    image: bool
    auto: bool
    inline: bool


@dataclass(frozen=True)
class Html:
    """One tag, a comment, or a `<` of a block of raw HTML that begins neither: `text` is as it is written."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Definition:
    """The definition of a target, `[label]: target`, which no reader sees. `start` to `end` is the part to cut."""

    start: int
    end: int
    target: str


@dataclass
class Markdown:
    """The parts of one text."""

    text: str
    code: list[Span] = field(default_factory=list)
    # The lines that open fenced code and name its language, which becomes an attribute of the code.
    infos: list[Span] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    html: list[Html] = field(default_factory=list)
    definitions: list[Definition] = field(default_factory=list)
    # Lines with links or tags that have no place: cells of a table with an escaped bar.
    unplaced: list[Span] = field(default_factory=list)

    @functools.cached_property
    def prose(self) -> list[Span]:
        """The text that people read as such, in order: not code, tags and definitions, and of links only the labels."""
        covered = [*self.code]
        covered += [(tag.start, tag.end) for tag in self.html]
        covered += [(definition.start, definition.end) for definition in self.definitions]
        for link in self.links:
            covered += [(link.start, link.label[0]), (link.label[1], link.end)]
        return _complement(sorted(covered), len(self.text))


def read_markdown(text: str) -> Markdown:
    """Parses the text. Raises TooTangled."""
    if not _MARKS.search(text):
        return Markdown(text)
    lines = text.replace("\r", "\n")  # both end a line
    tables = "|" in text and _DELIMITERS.search(lines) is not None
    if tables:
        _require_no_invented_cells(lines)
    found = _parse(text, tables=tables)
    if tables:
        # A bar ends a cell, and with it a link or a code that spans it. Readers without tables know no bars.
        other = _parse(text, tables=False)
        found.links += other.links
        found.html += other.html
        found.definitions += other.definitions
    return found


def _require_no_invented_cells(text: str) -> None:
    """Raises TooTangled if a table has more cells than signs: the parser adds those that its rows leave out."""
    end = widest = rows = size = 0
    for match in _DELIMITERS.finditer(text):
        if match.start() >= end:
            blank = _BLANK_LINE.search(text, match.end())
            end = blank.start() if blank else len(text)
            widest, rows, size = 0, text.count("\n", match.end(), end), end - match.start()
        widest = max(widest, match.group().count("|") + 1)
        if widest * rows > 2 * size + 100:
            raise TooTangled


def _parse(text: str, *, tables: bool) -> Markdown:
    # Imported on first use: most answers need no parser, which takes 3.5 MB and 50 ms.
    from app.agents.content.markdown_parser import build_parser

    env: dict[str, Any] = {}
    found = Markdown(text)
    lines = _Lines(text)
    cells: dict[int, int] = {}
    for token in build_parser(tables=tables).parse(text, env):
        _add_parts(found, token, lines, cells)
    found.definitions = [_definition(reference, lines) for reference in _references(env)]
    found.code.sort()
    return found


def _add_parts(found: Markdown, token: Token, lines: _Lines, cells: dict[int, int]) -> None:
    if token.map is None:
        return
    if token.type in ("fence", "code_block"):
        found.code.append(lines.span(*token.map))
        if token.info:
            found.infos.append(lines.line(token.map[0]))
    elif token.type == "html_block":
        passage = _Passage(token.content, lines, first=token.map[0])
        found.html += _html_of_block(passage)
    elif token.type == "inline":
        passage = _Passage(token.content, lines, first=token.map[0], cells=cells if token.meta["cell"] else None)
        _add_inline_parts(found, token.meta["record"], passage, lines.span(*token.map))


def _add_inline_parts(found: Markdown, record: Record, passage: _Passage, block: Span) -> None:
    if not passage.placed:
        if record.links or record.tags:
            found.unplaced.append(block)
        return
    found.code += [passage.span(*span) for span in record.code]
    found.links += [_placed(link, passage) for link in record.links]
    found.html += [Html(*passage.span(*span), text=passage.content[slice(*span)]) for span in record.tags]


def _placed(link: FoundLink, passage: _Passage) -> Link:
    start, end = passage.span(link.start, link.end)
    after = passage.content[link.label[1] : link.label[1] + 2]
    # `[label](no target)` names a definition, too: then the link ends before the bracket.
    inline = link.auto or (after == "](" and link.end > link.label[1] + 1)
    return Link(
        start, end, passage.span(*link.label), link.target, link.title, image=link.image, auto=link.auto, inline=inline
    )


def _html_of_block(passage: _Passage) -> Iterator[Html]:
    """Yields the tags of a block of raw HTML, and each `<` that begins none: a browser may still take it for one."""
    spans = tag_spans(passage.content)
    strays = _outside(spans, passage.content)
    for start, end in sorted([*spans, *strays]):
        yield Html(*passage.span(start, end), text=passage.content[start:end])


def _outside(spans: Sequence[Span], content: str) -> Iterator[Span]:
    for start, end in _complement(spans, len(content)):
        for match in re.finditer("<", content[start:end]):
            yield start + match.start(), start + match.end()


def _references(env: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from env.get("references", {}).values()
    yield from env.get("duplicate_refs", [])


def _definition(reference: Mapping[str, Any], lines: _Lines) -> Definition:
    first, last = reference["map"]
    start, end = lines.span(first, last)
    bracket = lines.text.index("[", start)
    # Of a list's entry only the definition is cut: without its mark, the lines below would belong to something else.
    if lines.text[start:bracket].strip(" \t>"):
        start, end = bracket, lines.line(last - 1)[1]
    return Definition(start, end, reference["href"])


def _complement(covered: Iterable[Span], length: int) -> list[Span]:
    spans: list[Span] = []
    end = 0
    for start, stop in covered:
        if start > end:
            spans.append((end, start))
        end = max(end, stop)
    if end < length:
        spans.append((end, length))
    return spans


class _Lines:
    """The lines of the text, as the parser numbers them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [match.start() for match in _LINE.finditer(text)]

    def span(self, first: int, last: int) -> Span:
        """Returns the place of the lines from `first` to before `last`."""
        return self._start(first), self._start(last)

    def line(self, number: int) -> Span:
        """Returns the place of one line without its end."""
        start, end = self.span(number, number + 1)
        return start, start + len(self.text[start:end].rstrip("\r\n"))

    def _start(self, number: int) -> int:
        return self._starts[number] if number < len(self._starts) else len(self.text)


class _Passage:
    """The content of one block, without the marks of its containers, and the places of its lines in the text.

    `cells` has, for each line of a table, the end of the last cell that was found in it. `placed` is False if a line of
    the content is not in the text as it is.
    """

    def __init__(self, content: str, lines: _Lines, *, first: int, cells: dict[int, int] | None = None) -> None:
        self.content = content
        self.placed = True
        self._lines = lines
        self._cells = cells
        self._begins: list[int] = []
        self._shifts: list[int] = []
        begin = 0
        for number, line in enumerate(content.split("\n"), first):
            self._begins.append(begin)
            self._shifts.append(self._find(line, number) - begin)
            begin += len(line) + 1

    def span(self, start: int, end: int) -> Span:
        """Returns the place of a part of the content."""
        place = self._place(start)
        return place, self._place(end - 1) + 1 if end > start else place

    def _place(self, position: int) -> int:
        return position + self._shifts[bisect_right(self._begins, position) - 1]

    def _find(self, line: str, number: int) -> int:
        """Returns the place of the line's first character."""
        start, end = self._lines.line(number)
        source = self._lines.text[start:end].replace("\0", "\ufffd")  # as the parser does
        core = line.strip()
        # Marks of containers stand before the content. Cells stand side by side: they are found in their order.
        at = source.rfind(core) if self._cells is None else source.find(core, self._cells.get(number, 0))
        if at < 0:
            self.placed = False
            return start
        if self._cells is not None:
            self._cells[number] = at + len(core)
        return start + at - (len(line) - len(line.lstrip()))
