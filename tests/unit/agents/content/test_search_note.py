"""The note on a text that rests on no search."""

from __future__ import annotations

import pytest

from app.agents.content.search_note import build_search_note
from app.agents.content.state import SearchOutcome


@pytest.mark.parametrize("outcome", [SearchOutcome.SEARCHED, SearchOutcome.NOT_NEEDED])
def test_a_text_that_lacks_no_search_has_no_note(outcome: SearchOutcome) -> None:
    assert build_search_note(outcome, text="Text.", task="Write.") is None


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (SearchOutcome.NOT_CONFIGURED, "no search provider is configured here"),
        (SearchOutcome.UNAVAILABLE, "the search provider could not be used at the time"),
        (SearchOutcome.NOTHING_FOUND, "the search found no usable pages"),
    ],
)
def test_the_note_gives_the_reason(outcome: SearchOutcome, reason: str) -> None:
    note = build_search_note(outcome, text="The sea rises and it is the moon.", task="Tides")
    assert note is not None
    assert note.startswith(f"> **Written without a web search**, because {reason}. ")


def test_the_note_is_one_quoted_line_in_the_language_of_the_text() -> None:
    note = build_search_note(SearchOutcome.NOTHING_FOUND, text="潮汐是由月球引起的。", task="Write about tides")
    assert note is not None
    assert note.startswith("> **本文未经网络搜索**")
    assert "搜索没有找到可用的网页" in note
    assert "\n" not in note
