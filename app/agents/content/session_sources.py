"""The sources of a session: each page that its answers cite has one number in all that a model sees. Pure.

Every answer numbers its citations from 1. Here the pages of all earlier answers get numbers in the order in which the
session first cites them, and the text of each answer is rewritten to those numbers. So a sentence that a model takes
over from an earlier answer still cites the page that it cited there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from app.agents.content.citation_marks import Mark, read_marks, write_marks
from app.agents.content.edits import Edit, apply_edits
from app.agents.content.links import url_key
from app.agents.content.markdown import Markdown, TooTangled, read_markdown
from app.agents.content.source_list import without_source_list
from app.agents.content.state import ContentState, Source
from app.agents.history import Turn, to_turns
from app.domain.agent import Citation
from app.domain.message import Message, MessageRole

# With a title each, about 2,000 tokens of the writer's prompt.
MAX_SESSION_SOURCES = 40


def number_session(messages: Sequence[Message]) -> tuple[list[Turn], list[Source]]:
    """Returns the turns with the session's numbers in their texts, and the sources that have these numbers.

    The list under an answer is cut off. A text without a citation stays as it is: it may be of an older version, whose
    recorded steps have the hash of that text.
    """
    numbers = _number_pages(messages)
    turns = to_turns(messages)
    for turn, message in zip(turns, messages, strict=True):
        if message.citations:
            own = enumerate(map(_key, message.citations), 1)
            turn["content"] = _renumbered(
                without_source_list(message.content),
                {number: numbers[key]["number"] for number, key in own if key in numbers},
            )
    return turns, list(numbers.values())


def known_sources(state: ContentState) -> list[Source]:
    """Returns all sources that the text may cite, by number; a page of both kinds with what the search returned."""
    by_number = {source["number"]: source for source in [*state.get("session_sources", []), *state["sources"]]}
    return [by_number[number] for number in sorted(by_number)]


def first_free_number(turns: Sequence[Turn], sources: Sequence[Source]) -> int:
    """Returns the number after all that are in use, also by an answer whose sources are not known."""
    used = [source["number"] for source in sources]
    for turn in turns:
        if turn["role"] == MessageRole.ASSISTANT:
            used += [number for mark in _marks(turn["content"], known=()) for number in mark.numbers]
    return max(used, default=0) + 1


def _number_pages(messages: Sequence[Message]) -> dict[str, Source]:
    """Numbers the pages that the messages cite. Of very many, those of the newest answers are kept."""
    kept: dict[str, None] = {}
    for message in reversed(messages):
        keys = dict.fromkeys(map(_key, message.citations))
        if len(kept | keys) > MAX_SESSION_SOURCES:
            break
        kept |= keys
    sources: dict[str, Source] = {}
    for citation in (citation for message in messages for citation in message.citations):
        key = _key(citation)
        if key in kept and key not in sources:
            sources[key] = Source(
                number=len(sources) + 1, title=citation.title, url=citation.url, site=citation.source, excerpt=""
            )
    return sources


def _key(citation: Citation) -> str:
    return url_key(citation.url) or citation.url


def _renumbered(text: str, numbers: Mapping[int, int]) -> str:
    """Rewrites the citations to other numbers, and takes out those that have none."""
    edits = []
    for mark in _marks(text, known=numbers):
        renumbered = [numbers[number] for number in mark.numbers if number in numbers]
        start = mark.start if renumbered or text[mark.start - 1 : mark.start] != " " else mark.start - 1
        edits.append(Edit(start, mark.end, mark.label + write_marks(renumbered)))
    return apply_edits(text, edits)[0]


def _marks(text: str, *, known: Collection[int]) -> list[Mark]:
    try:
        markdown = read_markdown(text)
    except TooTangled:
        markdown = Markdown(text)
    return read_marks(text, markdown.prose, known=known)
