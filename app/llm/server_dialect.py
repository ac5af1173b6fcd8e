"""The dialects of servers: the parts of a protocol that one has refused, learned once for each model.

A server that imitates a vendor's protocol may lack any part of it. The first request uses all of it; a refusal that
names a part is answered by the same request without that part, and all later requests of that model leave it out.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from app.llm.vendor_error import VendorError


class Feature(StrEnum):
    """A part of a request that a server may refuse. The value is the name under which it is stored."""

    SUMMARY = "summary"
    STREAM_OPTIONS = "stream_options"
    TOKEN_LIMIT_NAME = "max_completion_tokens"  # noqa: S105  the name of a parameter
    JSON_SCHEMA = "json_schema"
    SYSTEM_ROLE = "system_role"
    EFFORT = "effort"
    TOOL_CHOICE = "tool_choice"
    FUNCTION = "function"
    STREAMING = "streaming"
    END_USER = "end_user"
    STORE = "store"


# In this order, because the text of one may hold the word of the next: `stream_options` holds `stream`, `tool_choice`
# holds `tool`.
_NAMED_BY: dict[Feature, re.Pattern[str]] = {
    Feature.SUMMARY: re.compile(r"summar(y|ies)|thinking\.display", re.I),
    Feature.STREAM_OPTIONS: re.compile(r"stream_options|include_usage", re.I),
    Feature.TOKEN_LIMIT_NAME: re.compile(r"max_completion_tokens", re.I),
    Feature.JSON_SCHEMA: re.compile(
        r"response_format|json_schema|json schema|text\.format|output_config(?!\.effort)|output_format"
        r"|structured[ _-]?outputs?|grammar|guided|json[ _-]?mode",
        re.I,
    ),
    Feature.SYSTEM_ROLE: re.compile(
        r"(system|developer)['\"` ]*(role|messages?|prompt|instruction)|role['\"`: ]*(system|developer)"
        r"|messages\[0\]\.role",
        re.I,
    ),
    Feature.TOOL_CHOICE: re.compile(r"tool[ _-]?choice", re.I),
    Feature.FUNCTION: re.compile(r"\btools?\b|tool_choice|function", re.I),
    # Not inside the name of a model.
    Feature.EFFORT: re.compile(
        r"(?<![\w/.:-])(reasoning|effort|thinking)(?![\w]*[:-]\w)|reasoning_effort|\.effort", re.I
    ),
    Feature.STREAMING: re.compile(r"\bstream(ing|ed)?\b", re.I),
    Feature.END_USER: re.compile(r"safety_identifier|\bmetadata\b|\buser_id\b", re.I),
    # Neither a place where files are found, nor the explanation that an item was not kept because of it.
    Feature.STORE: re.compile(r"(?<!vector )(?<!file )\bstore\b(?!\W{0,2} (is |was )?set to)", re.I),
}
# What a server repeats of the request: a longer text in quotation marks, or the input that pydantic shows.
_QUOTATION = re.compile(r"input_value=.*|'[^']{40,}'|\"[^\"]{40,}\"", re.S)
# A refusal of the content, or of the caller, says nothing about the protocol, whatever its words are.
_STATUSES = frozenset({400, 404, 405, 415, 422, 501})


@dataclass(frozen=True)
class Dialect:
    """The features that a model's server has refused, and the most tokens that it writes, if it has said so."""

    refused: frozenset[Feature] = frozenset()
    max_output_tokens: int | None = None

    def has(self, feature: Feature) -> bool:
        """Checks whether requests may use the feature."""
        return feature not in self.refused

    def joined(self, other: Dialect) -> Dialect:
        """Returns the dialect that lacks what either of the two lacks."""
        limits = [limit for limit in (self.max_output_tokens, other.max_output_tokens) if limit is not None]
        return Dialect(self.refused | other.refused, min(limits, default=None))

    def without(self, feature: Feature) -> Dialect:
        """Returns the dialect without a feature."""
        return replace(self, refused=self.refused | {feature})


FULL = Dialect()


def refused_feature(error: VendorError, used: Collection[Feature], *, model: str = "") -> Feature | None:
    """Finds the feature that a refusal names, among those that the request used.

    The parameter counts before the prose. Of the prose, the name of the model and quotations do not count: a model may
    be called `phi4-reasoning`, and a server may repeat what the user wrote about streaming.
    """
    if error.status not in _STATUSES:
        return None
    prose = _QUOTATION.sub(" ", error.message.replace(model, " ") if model else error.message)
    for told in (error.param, prose, " ".join(error.codes)):
        for feature, words in _NAMED_BY.items():
            if feature in used and words.search(told):
                return feature
    return None


# Limited in length: an endless run of digits would take endless time.
_NUMBER = r"(\d(?:[\d,_ ]{0,20}\d)?)"
_AT_MOST = re.compile(
    r"(?:at most|maximum(?: allowed)?(?: value| number)?(?: of)?|up to|less than or equal to|<=)"
    rf"\D{{0,40}}?{_NUMBER}"
    rf"|{_NUMBER}\s*,? which is the maximum"
    rf"|range .{{0,40}}?\[ ?\d+ ?, ?{_NUMBER} ?\]",
    re.I,
)
_NAMES_LIMIT = re.compile(
    r"max[_ ](completion_|output_|new_)?tokens|(completion|output) tokens|in the completion", re.I
)
# The second form is Anthropic's, of prompt + answer > window; the third one is that of text-generation-inference.
_CONTEXT = re.compile(
    rf"(?:maximum )?context (?:length|window|size)\D{{0,30}}?{_NUMBER}|\+ ?\d+ ?> ?{_NUMBER}"
    rf"|max_new_tokens\W{{0,3}}must be <= {_NUMBER}",
    re.I,
)
_INPUT = re.compile(
    rf"{_NUMBER}(?: tokens)? in (?:the|your) (?:messages|prompt|input)|{_NUMBER} (?:input|prompt) tokens"
    rf"|{_NUMBER} ?\+ ?\d+ ?>|{_NUMBER} \W?inputs\W? tokens",
    re.I,
)
# Servers count the frame of a conversation differently from one request to the next.
_MARGIN_TOKENS = 32
# With less room an answer would be cut off in its first sentences.
_USEFUL_TOKENS = 128


@dataclass(frozen=True)
class OutputLimit:
    """The most output tokens that a server accepts: always (`lasting`), or beside a prompt as long as this one."""

    tokens: int
    lasting: bool


def output_limit(error: VendorError, *, asked: int) -> OutputLimit | None:
    """Reads from a refusal how many output tokens would be accepted instead of `asked`; None if it does not say."""
    if error.status not in _STATUSES or not _NAMES_LIMIT.search(f"{error.param} {error.message}"):
        return None
    context, prompt = _number(_CONTEXT, error.message), _number(_INPUT, error.message)
    lasting = context is None or prompt is None
    tokens = _number(_AT_MOST, error.message) if lasting else (context or 0) - (prompt or 0) - _MARGIN_TOKENS
    return OutputLimit(tokens, lasting) if tokens is not None and _USEFUL_TOKENS <= tokens < asked else None


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.search(text)
    digits = next((group for group in match.groups() if group), None) if match else None
    return int(re.sub(r"\D", "", digits)) if digits else None
