from __future__ import annotations

import pytest

from app.llm.providers.thoughts import without_thoughts


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The user wants a city.\n</think>\nOslo.", "Oslo."),
        ("<think>never ends", ""),
        ("```html\n</think>\n```", "```html\n</think>\n```"),
    ],
)
def test_half_marked_thinking_is_taken_off(text: str, answer: str) -> None:
    assert without_thoughts(text) == answer
