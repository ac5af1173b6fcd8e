"""The short text of a result for lists: the first sentences of an answer, without its Markdown. Pure."""

from __future__ import annotations

import re

from app.domain.agent import AgentOutput

SUMMARY_CHARACTERS = 280

_FENCED = re.compile(
    r"^ {0,3}(`{3,16}|~{3,16})[^\n]*\n(?P<code>.*?)(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
_SKIPPED_LINE = re.compile(r"^\s{0,3}(?:#{1,6}\s|>|\||[-*_=]{3,}\s*$|$)")
_LIST_MARK = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_CITATION = re.compile(r"\s?\[\d{1,3}\]")
_EMPHASIS = re.compile(r"(\*\*|__|\*|(?<!\w)_|_(?!\w)|`+|~~)")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])")  # noqa: RUF001 - full stops of Chinese and Japanese


def summarise(output: AgentOutput) -> str:
    """Returns at most 280 characters on one line; the summary is empty only if the answer is."""
    prose = _prose(_FENCED.sub("\n", output.content))
    if prose:
        return _first_sentences(prose)
    code = _FENCED.search(output.content)
    if code is not None:
        lines = len(code["code"].rstrip("\n").split("\n"))
        return f"Code in {output.code_language or 'an unnamed language'}, {lines} {'line' if lines == 1 else 'lines'}."
    # Nothing but headings, quotes or tables: their text is better than an empty summary.
    return _first_sentences(_plain(output.content.replace("#", " ").replace(">", " ")))


def _prose(text: str) -> str:
    """Joins the lines that are neither headings, quotes, tables nor rules."""
    lines = [_LIST_MARK.sub("", line) for line in text.split("\n") if not _SKIPPED_LINE.match(line)]
    return _plain(" ".join(lines))


def _plain(text: str) -> str:
    without_marks = _EMPHASIS.sub("", _CITATION.sub("", _LINK.sub(r"\1", text)))
    return " ".join(without_marks.split())


def _first_sentences(text: str) -> str:
    """Returns as many whole sentences as fit; a first sentence that is too long is cut between words."""
    if len(text) <= SUMMARY_CHARACTERS:
        return text
    kept = ""
    for sentence in _SENTENCE_END.split(text):
        longer = f"{kept} {sentence}".strip()
        if len(longer) > SUMMARY_CHARACTERS:
            break
        kept = longer
    if kept:
        return kept
    cut = text[: SUMMARY_CHARACTERS - 1]
    return (cut.rsplit(" ", 1)[0] or cut).rstrip(" ,;:") + "…"
