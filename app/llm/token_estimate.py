"""The estimate of tokens from a text, where the provider gave no count.

Pure. An exact count would need the tokenizer of the model that happened to answer. For prose in many languages, code
and JSON the estimate is within a third of what OpenAI's tokenizer o200k counts. Long numbers and encoded bytes take
more.
"""

from __future__ import annotations

import re

# Chinese, Japanese and Korean, and what is beyond 16 bits: rare signs of these, and emoji.
_WIDE_RUN = re.compile(
    "[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00010000-\U0010ffff]+"
)
# Fitted to tests/unit/llm/token_samples.json. In twentieths of a token, because fractions would not add up exactly.
_PARTS_PER_TOKEN = 20
_PARTS_PER_WIDE = 18
_PARTS_PER_ASCII = 5
_PARTS_PER_OTHER = 8


def estimate_tokens(text: str) -> int:
    """Estimates the tokens of a text, by script."""
    plain = len(text.encode("ascii", errors="ignore"))
    wide = sum(map(len, _WIDE_RUN.findall(text)))
    other = len(text) - plain - wide
    return -(-(plain * _PARTS_PER_ASCII + wide * _PARTS_PER_WIDE + other * _PARTS_PER_OTHER) // _PARTS_PER_TOKEN)
