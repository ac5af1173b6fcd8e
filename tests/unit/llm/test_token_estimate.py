from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.token_estimate import estimate_tokens

# Texts, each with the count of OpenAI's tokenizer o200k, taken once.
SAMPLES = json.loads(Path(__file__).with_name("token_samples.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_the_estimate_is_within_a_third_of_the_count(sample: dict[str, int | str]) -> None:
    counted, text = int(sample["o200k"]), str(sample["text"])
    assert counted * 2 / 3 <= estimate_tokens(text) <= counted * 4 / 3


@given(st.text(), st.text())
def test_more_text_is_never_fewer_tokens(text: str, more: str) -> None:
    assert estimate_tokens(text) <= estimate_tokens(text + more) <= estimate_tokens(text) + estimate_tokens(more)


@given(st.text(min_size=1))
def test_every_text_has_tokens(text: str) -> None:
    assert estimate_tokens(text) >= 1
    assert estimate_tokens("") == 0
