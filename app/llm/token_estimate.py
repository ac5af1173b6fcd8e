"""The estimate of tokens from a text, where the provider gave no count.

Pure. An exact count would need the tokenizer of the model that happened to answer. For prose in many languages, code
and JSON the estimate is within a third of what OpenAI's tokenizer o200k counts. Long numbers and encoded bytes take
more.
"""

from __future__ import annotations

import math
import re

# Chinese, Japanese and Korean, and what is beyond 16 bits: rare signs of these, and emoji.
_WIDE_RUN = re.compile(
    "[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00010000-\U0010ffff]+"
)
# Fitted to tests/unit/llm/token_samples.json.
_TOKENS_PER_WIDE = 0.9
_TOKENS_PER_ASCII = 1 / 4
_TOKENS_PER_OTHER = 1 / 2.5


def estimate_tokens(text: str) -> int:
    """Estimates the tokens of a text, by script."""
    plain = len(text.encode("ascii", errors="ignore"))
    wide = sum(map(len, _WIDE_RUN.findall(text)))
    other = len(text) - plain - wide
    return math.ceil(plain * _TOKENS_PER_ASCII + wide * _TOKENS_PER_WIDE + other * _TOKENS_PER_OTHER)
