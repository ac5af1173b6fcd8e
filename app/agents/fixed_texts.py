"""The sentences that the system itself adds to an answer, in the language of that answer.

English is used for languages that `translations.toml` lacks, and for texts that are too short to tell theirs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict, TypeAdapter

from app.agents.natural_language import guess_language

ENGLISH = "en"


class FixedTexts(BaseModel):
    """The sentences of one language. `not_searched` has a place for one of the reasons, which follow it.

    `partial` is the summary of the text that a task had written before it failed. The summary of a text that does not
    come to its end closes with one of the three that begin with `cut`. `sources` is the heading of the list of sources;
    `removed` stands in the place of an address that was removed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    not_searched: str
    not_configured: str
    unavailable: str
    nothing_found: str
    partial: str
    cut_at_limit: str
    cut_by_budget: str
    cut_by_fault: str
    sources: str
    removed: str


def fixed_texts_for(*texts: str) -> FixedTexts:
    """Returns the sentences in the language of the first text that is long enough to tell it: the answer, the task."""
    guesses = (guess_language(text) for text in texts)
    language = next((guess for guess in guesses if guess is not None), ENGLISH)
    translations = read_translations()
    return translations.get(language, translations[ENGLISH])


@cache
def read_translations() -> Mapping[str, FixedTexts]:
    """Reads the file once, at its first use: few tasks need it."""
    text = resources.files("app.agents").joinpath("translations.toml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, FixedTexts]).validate_python(tomllib.loads(text))
