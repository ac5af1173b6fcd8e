"""markdown-it-py with rules that keep the position of each link, image, code and tag in the content of its block.

It decides as markdown-it does for CommonMark, with two differences: nothing is refused as a target, and a target is
kept as it was written. Rules that have no part in finding targets are off.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline, autolink, backtick, html_inline, image, link
from markdown_it.token import Token

from app.agents.content.markdown import TooTangled

Span = tuple[int, int]
Rule = Callable[[StateInline, bool], bool]

# Readers stop at 20 nested parts (markdown-it's preset for CommonMark) or later, and from there on differ in what they
# take for a link.
DEEPEST = 18
# The open brackets of a block times its signs, summed over the text: the steps of the search for closing brackets.
# An article of 60,000 characters with 500 citations stays under a tenth of it.
MOST_STEPS = 300_000

_SIGN = re.compile(r"[^\w\s.,;]")
_UNUSED = ("emphasis", "balance_pairs", "fragments_join", "entity", "newline", "text_join")


@dataclass(frozen=True)
class FoundLink:
    """A link, an image or an autolink. `target` is decoded; the places are positions in the block's content."""

    start: int
    end: int
    label: Span
    target: str
    title: str = ""
    image: bool = False
    auto: bool = False


@dataclass
class Record:
    """The parts of one block's content."""

    content: str
    code: list[Span] = field(default_factory=list)
    links: list[FoundLink] = field(default_factory=list)
    tags: list[Span] = field(default_factory=list)


class RecordingParser(MarkdownIt):
    """A parser that takes every target as it was written. A token of inline content has its `Record` in `meta`."""

    def validateLink(self, url: str) -> bool:  # noqa: N802, ARG002 - a method of the library
        return True

    def normalizeLink(self, url: str) -> str:  # noqa: N802 - a method of the library
        return url

    def normalizeLinkText(self, url: str) -> str:  # noqa: N802 - a method of the library
        return url


@functools.cache
def build_parser(*, tables: bool) -> RecordingParser:
    """Builds the parser; with `tables` it also reads the tables of GitHub. Its `parse` raises TooTangled."""
    parser = RecordingParser("commonmark")
    parser.disable(list(_UNUSED))
    if tables:
        parser.enable("table")
    parser.core.ruler.at("inline", _read_blocks)
    for name, rule in _RULES.items():
        parser.inline.ruler.at(name, rule)
    return parser


def _read_blocks(state: StateCore) -> None:
    """Parses the inline content of all blocks, as the rule of the library does, each with a record of its own."""
    if any(token.level >= DEEPEST for token in state.tokens):
        raise TooTangled
    contents = [token.content for token in state.tokens if token.type == "inline"]
    if sum(content.count("[") * len(_SIGN.findall(content)) for content in contents) > MOST_STEPS:
        raise TooTangled
    before = ""
    for token in state.tokens:
        if token.type == "inline":
            record = Record(token.content)
            state.env["record"] = record
            token.meta = {"record": record, "cell": before in ("th_open", "td_open")}
            state.md.inline.parse(token.content, state.md, state.env, [])
        before = token.type


def _record_of(state: StateInline) -> Record | None:
    """Returns the record, or None while the parser reads the description of an image, whose positions are its own."""
    record: Record = state.env["record"]
    return record if state.src is record.content else None


def _read_link(state: StateInline, silent: bool) -> bool:
    return state.src[state.pos] == "[" and _read_labelled(state, silent, rule=link)


def _read_image(state: StateInline, silent: bool) -> bool:
    return state.src.startswith("![", state.pos) and _read_labelled(state, silent, rule=image)


def _read_labelled(state: StateInline, silent: bool, *, rule: Rule) -> bool:
    if state.level >= DEEPEST:
        raise TooTangled
    start, first = state.pos, len(state.tokens)
    if not rule(state, silent):
        return False
    record = _record_of(state)
    if not silent and record is not None:
        token = next(token for token in state.tokens[first:] if token.type in ("link_open", "image"))
        record.links.append(_found_link(state, token, start))
    return True


def _found_link(state: StateInline, token: Token, start: int) -> FoundLink:
    is_image = token.type == "image"
    opening = start + is_image
    return FoundLink(
        start,
        state.pos,
        # The rule does not tell where the label ends; the parser remembers it.
        label=(opening + 1, state.md.helpers.parseLinkLabel(state, opening, not is_image)),
        target=str(token.attrs["src" if is_image else "href"]),
        title=str(token.attrs.get("title", "")),
        image=is_image,
    )


def _read_autolink(state: StateInline, silent: bool) -> bool:
    start = state.pos
    if not autolink(state, silent):
        return False
    record = _record_of(state)
    if not silent and record is not None:
        target = str(next(token for token in reversed(state.tokens) if token.type == "link_open").attrs["href"])
        record.links.append(FoundLink(start, state.pos, (start, start), target, auto=True))
    return True


def _read_html(state: StateInline, silent: bool) -> bool:
    start = state.pos
    if not html_inline(state, silent):
        return False
    record = _record_of(state)
    if not silent and record is not None:
        record.tags.append((start, state.pos))
    return True


def _read_code(state: StateInline, silent: bool) -> bool:
    start = state.pos
    if not backtick(state, silent):
        return False
    record = _record_of(state)
    if not silent and record is not None and not state.pending:  # pending: backticks that close nothing are text
        record.code.append((start, state.pos))
    return True


_RULES: dict[str, Rule] = {
    "link": _read_link,
    "image": _read_image,
    "autolink": _read_autolink,
    "html_inline": _read_html,
    "backticks": _read_code,
}
