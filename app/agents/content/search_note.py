"""The note on a text that rests on no search. Pure."""

from __future__ import annotations

from app.agents.content.state import SearchOutcome
from app.agents.fixed_texts import FixedTexts, fixed_texts_for


def build_search_note(outcome: SearchOutcome, *, text: str, task: str) -> str | None:
    """Builds the note in the language of the text, as a quotation; None if there was a search, or no need for one."""
    texts = fixed_texts_for(text, task)
    reason = _reason(outcome, texts)
    return None if reason is None else f"> {texts.not_searched.format(reason=reason)}"


def _reason(outcome: SearchOutcome, texts: FixedTexts) -> str | None:
    match outcome:
        case SearchOutcome.NOT_CONFIGURED:
            return texts.not_configured
        case SearchOutcome.UNAVAILABLE:
            return texts.unavailable
        case SearchOutcome.NOTHING_FOUND:
            return texts.nothing_found
        case SearchOutcome.SEARCHED | SearchOutcome.NOT_NEEDED:
            return None
