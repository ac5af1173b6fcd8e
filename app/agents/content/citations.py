"""The node `check_citations`: the text may cite only what the session's searches returned, whatever the model wrote.

Pure. Numbers without a source and addresses that are neither a source, nor in the user's own text, nor reserved for
examples are removed and counted. The sources that the text cites are numbered anew in order of appearance and listed
at its end, so that `[n]` is the n-th citation of the result.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.runtime import Runtime

from app.agents.base import AgentContext
from app.agents.content.citation_marks import read_marks, write_marks
from app.agents.content.links import find_addresses, replace_addresses
from app.agents.content.pages import Pages
from app.agents.content.search_note import build_search_note
from app.agents.content.session_sources import known_sources
from app.agents.content.source_list import Split, listed_numbers, split_links, split_titled
from app.agents.content.state import CitationState, ContentState, SearchOutcome, Source
from app.agents.content.text_check import CheckedText, TextCheck
from app.agents.fixed_texts import fixed_texts_for
from app.domain.message import MessageRole

# "accessed on 3 May 2026", and the name of the site.
MOST_OTHER_WORDS = 10

_WORD = re.compile(r"[^\W_]+")


async def check_citations(state: ContentState, runtime: Runtime[AgentContext]) -> dict[str, Any]:
    """Checks the draft and builds the final text with its citations."""
    checked = check(state["content"], sources=known_sources(state), task=_user_text(state))
    runtime.context.metrics.citations_dropped.inc(checked.dropped)
    citations = [
        CitationState(source=source["site"], title=source["title"], url=source["url"]) for source in checked.cited
    ]
    content = assemble(checked, outcome=SearchOutcome(state["search_outcome"]), task=state["task"])
    return {"content": content, "citations": citations}


def _user_text(state: ContentState) -> str:
    """Joins the texts that the user wrote in this session."""
    earlier = [turn["content"] for turn in state["history"] if turn["role"] == MessageRole.USER]
    return "\n".join([*earlier, state["task"]])


def check(text: str, *, sources: Sequence[Source], task: str) -> CheckedText:
    """Checks a draft; `task` is all that the user has written."""
    pages = Pages(sources, user_text=task)
    removed = functools.cache(lambda: fixed_texts_for(text).removed)
    text_check = TextCheck(pages, sources, removed=removed, own=() if sources else _numbers_in(task))
    # A text of the user's that is worked on keeps its list.
    titled = split_titled(text) if sources or not split_titled(task).listed else Split(text)
    checked = text_check.apply(titled.body)
    if titled.listed and not checked.cited:
        return _check_with_list(text_check, titled, sources, pages) or checked
    linked = split_links(titled.body)
    above = text_check.apply(linked.body) if linked.listed else checked
    return above if _lists_sources(linked, above, sources, pages) else checked


def _lists_sources(split: Split, above: CheckedText, sources: Sequence[Source], pages: Pages) -> bool:
    """Returns True if a list of links without a title says no more than the checked list of sources does.

    It does if the text above it cites pages, and the list names the same ones, or has the numbers of the sources.
    """
    named = _listed_pages(split.listed, sources, pages)
    cited = {source["number"] for source in above.cited}
    return bool(named and cited) and (set(named) <= cited or named == listed_numbers(split.listed))


def _numbers_in(text: str) -> set[int]:
    """Returns the numbers of citations in a text that the user wants to have worked on."""
    return {number for mark in read_marks(text, [(0, len(text))], known=()) for number in mark.numbers}


def _check_with_list(
    text_check: TextCheck, split: Split, sources: Sequence[Source], pages: Pages
) -> CheckedText | None:
    """Checks a text that cites nothing together with its list, which then is the answer: the user asked for sources.

    Returns None if the list names no source.
    """
    cited = text_check.apply(split.listed).cited
    if not cited:
        return None
    # Entries with words of their own are content. The others say no more than the checked list does.
    bare = _listed_pages(split.listed, sources, pages)
    entries = write_marks([source["number"] for source in cited]) if bare else split.listed
    return text_check.apply(f"{split.body}\n\n{entries}")


def _listed_pages(listed: str, sources: Sequence[Source], pages: Pages) -> list[int]:
    """Returns the numbers of the pages that a list names, or none if an entry is more than the name of a page."""
    titles = {source["number"]: source["title"] for source in sources}
    numbers = [_named_page(line, titles, pages) for line in listed.split("\n") if line.strip()]
    return [] if None in numbers else [number for number in numbers if number is not None]


def _named_page(line: str, titles: Mapping[int, str], pages: Pages) -> int | None:
    named = {pages.number_of(address) for address in find_addresses(line)}
    number = named.pop() if len(named) == 1 else None
    if number is None:
        return None
    others = set(_words(replace_addresses(line, lambda _: ""))) - set(_words(titles[number]))
    return number if len(others) <= MOST_OTHER_WORDS else None


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def assemble(checked: CheckedText, *, outcome: SearchOutcome, task: str = "") -> str:
    """Builds the answer: a note if the text rests on no search, the text, and the list of the sources that it cites."""
    note = build_search_note(outcome, text=checked.text, task=task)
    parts = [note, checked.text] if note else [checked.text]
    if checked.cited:
        lines = [f"{number}. {source['title']} — {source['url']}" for number, source in enumerate(checked.cited, 1)]
        parts.append("\n".join([f"## {fixed_texts_for(checked.text).sources}", "", *lines]))
    return "\n\n".join(parts)
