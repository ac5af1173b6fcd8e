"""Known phrases, translated from and into five languages."""

from __future__ import annotations

import pytest

from app.simulator.answers.translations import translate


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("Translate 'Good morning' into German", "Guten Morgen"),
        ('Translate "Good morning" into French.', "Bonjour"),
        ("translate good morning to spanish", "Buenos días"),
        ("Please translate “Good morning” into Italian!", "Buongiorno"),
        ("Translate hello to French", "Bonjour"),
        ("Translate to German: Thank you very much", "Vielen Dank"),
        ("Translate this into Spanish: where is the train station?", "¿Dónde está la estación de tren?"),
        ("How do you say 'thank you' in Spanish?", "Gracias"),
        ("What is 'good night' in French?", "Bonne nuit"),
        ("Good evening in Italian", "Buonasera"),
        ("Translate please to German", "Bitte"),
        ("Translate 'What is your name?' into Italian", "Come ti chiami?"),
        ("Translate the phrase 'I love you' from English into French", "Je t'aime"),
        ("Translate the German word 'Danke' into English", "Thank you"),
        ("Translate “Je t\N{RIGHT SINGLE QUOTATION MARK}aime” into German", "Ich liebe dich"),
        ("Übersetze 'Good morning' ins Deutsche", "Guten Morgen"),
        ("Wie sagt man 'Happy birthday' auf Französisch?", "Joyeux anniversaire"),
        ("Translate 'Yes' into German, French and Spanish", "- German: Ja\n- French: Oui\n- Spanish: Sí"),
    ],
)
def test_known_phrase_is_translated(task: str, answer: str) -> None:
    assert translate(task) == answer


@pytest.mark.parametrize(
    "task",
    [
        "",
        "Translate 'Good morning' into Klingon",
        "Translate 'The quarterly figures are late' into German",
        "Translate this letter into French",
        "Translate 'Good morning' into German and explain its grammar",
        "Write a story in German",
        "Good morning",
        "Translate it into French",
    ],
)
def test_other_text_is_none(task: str) -> None:
    assert translate(task) is None
