"""The sentences that the system adds, and their translations."""

from __future__ import annotations

import pytest

from app.agents.fixed_texts import ENGLISH, fixed_texts_for, read_translations
from app.agents.natural_language import guess_language

TRANSLATIONS = read_translations()


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_translation_is_in_its_language(language: str) -> None:
    texts = TRANSLATIONS[language]
    assert guess_language(" ".join(texts.model_dump().values())) == language
    assert texts.not_searched.count("{reason}") == 1
    assert texts.not_searched.startswith("**")
    assert "AGENT_MAX_TOKENS" in texts.cut_at_limit


def test_the_first_text_that_tells_its_language_decides() -> None:
    german = TRANSLATIONS["de"]
    assert fixed_texts_for("Das ist nicht die Antwort.", "What is the question?") == german
    assert fixed_texts_for("42", "Was ist die Antwort auf alles?") == german
    assert fixed_texts_for("42", "6 * 7") == TRANSLATIONS[ENGLISH]


def test_english_takes_the_place_of_a_language_that_is_missing() -> None:
    serbian = "Главни град Аустралије је Канбера."  # noqa: RUF001 - letters of the language
    assert fixed_texts_for(serbian) == TRANSLATIONS[ENGLISH]
