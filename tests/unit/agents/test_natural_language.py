"""The guess of a text's language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.natural_language import guess_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The tide is the rise and fall of the sea.", "en"),
        ("What is the capital of Australia?", "en"),
        ("Quelle est la distance de la Terre à la Lune ?", "fr"),
        ("¿Cuál es la capital de Australia?", "es"),
        ("Qual é a capital da Austrália?", "pt"),
        ("Qual è la capitale dell'Australia?", "it"),
        ("Was ist die Hauptstadt?", "de"),
        ("Hvad er klokken?", "da"),
        ("What is the population of Łódź?", "en"),
        ("Die Hauptstadt von Australien ist Canberra.", "de"),
        ("La capitale de l'Australie est Canberra et non Sydney.", "fr"),
        ("La capital de Australia es Canberra y no Sídney.", "es"),
        ("A capital da Austrália não é Sydney, e sim Camberra.", "pt"),
        ("La capitale dell'Australia è Canberra, che non è una grande città.", "it"),
        ("De hoofdstad van Australië is niet Sydney, het is Canberra.", "nl"),
        ("Huvudstaden i Australien är inte Sydney, och det har den aldrig varit.", "sv"),
        ("Hovedstaden er ikke Sydney, men det bliver ofte sagt af turister.", "da"),
        ("Hovedstaden er ikke Sydney, og det blir ofte sagt av turister.", "no"),
        ("Australian pääkaupunki on Canberra, ja se ei ole Sydney.", "fi"),
        ("Stolicą Australii jest Canberra, a nie Sydney, i to się nie zmieni.", "pl"),
        ("Hlavní město Austrálie je Canberra, které se nachází na jihu.", "cs"),
        ("Ausztrália fővárosa Canberra, és nem Sydney, az csak egy nagyváros.", "hu"),
        ("Capitala Australiei este Canberra și nu Sydney, în sud.", "ro"),
        ("Avustralya'nın başkenti Canberra, Sydney değil ve bu bir sürpriz.", "tr"),  # noqa: RUF001 - letters of the language
        ("Thủ đô của Úc là Canberra và không phải Sydney.", "vi"),
        ("Ibu kota Australia adalah Canberra dan bukan Sydney.", "id"),
        ("Столица Австралии — Канберра.", "ru"),
        ("Столиця Австралії — Канберра.", "uk"),
        ("Главни град Аустралије је Канбера.", "sr"),  # noqa: RUF001 - letters of the language
        ("Πρωτεύουσα της Αυστραλίας είναι η Καμπέρα.", "el"),
        ("בירת אוסטרליה היא קנברה.", "he"),
        ("عاصمة أستراليا هي كانبرا.", "ar"),
        ("پایتخت استرالیا کانبرا است.", "fa"),
        ("ऑस्ट्रेलिया की राजधानी कैनबरा है।", "hi"),
        ("เมืองหลวงของออสเตรเลียคือแคนเบอร์รา", "th"),
        ("호주의 수도는 캔버라입니다.", "ko"),
        ("オーストラリアの首都はキャンベラです。", "ja"),
        ("澳大利亚的首都是堪培拉。", "zh"),
        ("澳大利亚的首都是堪培拉 (Canberra is the capital).", "en"),
        ("Canberra [1].", None),
        ("384 400", None),
        ("", None),
    ],
)
def test_languages_are_told_apart(text: str, language: str | None) -> None:
    assert guess_language(text) == language


def test_code_does_not_count() -> None:
    code = "```python\nfor the in is_in and not_in: print('this is the end of the world')\n```\n"
    assert guess_language(f"Die Schleife ist nicht schwer.\n\n{code * 5}") == "de"


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    language = guess_language(text)
    assert language is None or 2 <= len(language) <= 3
