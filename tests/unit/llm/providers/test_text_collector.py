from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.providers.text_collector import COALESCE_CHARACTERS, COALESCE_SECONDS, TextCollector, storable
from tests.support.doubles import ManualClock
from tests.unit.llm.providers.test_sse import split


@given(st.lists(st.text(max_size=50), max_size=60), st.floats(0, 0.2))
def test_what_is_told_adds_up_to_the_text(pieces: list[str], step: float) -> None:
    clock, received = ManualClock(), list[str]()
    collector = TextCollector(received.append, clock.monotonic)
    for piece in pieces:
        collector.add(piece)
        clock.advance(step)
    text = "".join(pieces)
    assert collector.finish() == text
    assert "".join(received) == storable(text)


def test_small_pieces_are_told_together() -> None:
    clock, received = ManualClock(), list[str]()
    collector = TextCollector(received.append, clock.monotonic)
    for _ in range(COALESCE_CHARACTERS):
        collector.add("a")
    collector.add("b")
    assert received == ["a" * COALESCE_CHARACTERS]
    clock.advance(COALESCE_SECONDS)
    collector.add("c")
    assert received[1:] == ["bc"]


def test_nobody_has_to_listen() -> None:
    collector = TextCollector(None, ManualClock().monotonic)
    collector.add("a")
    assert collector.finish() == "a"


THOUGHT = "<think>\nThe user wants a city.\n</think>\n\n"


@given(cuts=st.lists(st.integers(0, 10_000), max_size=12))
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"{THOUGHT}Oslo.", "Oslo."),
        (f"\n{THOUGHT.replace('think', 'thinking')}Oslo.", "Oslo."),
        ("<think></think>Oslo.", "Oslo."),
        (f"{THOUGHT.upper()}Oslo.", "Oslo."),
        (f"[THINK]{THOUGHT[8:-10]}[/THINK]\n\nOslo.", "Oslo."),
        ("<|channel|>analysis<|message|>The user.<|end|><|channel|>final<|message|>Oslo.<|return|>", "Oslo."),
        ("<b>Oslo</b> <think>", "<b>Oslo</b> <think>"),
        ("<", "<"),
    ],
)
def test_marked_thinking_is_neither_told_nor_kept(text: str, answer: str, cuts: list[int]) -> None:
    clock, received = ManualClock(), list[str]()
    collector = TextCollector(received.append, clock.monotonic)
    for piece in split(text.encode(), cuts):
        collector.add(piece.decode())
        clock.advance(COALESCE_SECONDS)
    assert collector.finish() == answer
    assert "".join(received) == answer
