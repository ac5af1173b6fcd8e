"""The short text of a result for lists: the first sentences of an answer without Markdown and sources. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from app.agents.fixed_texts import FixedTexts, fixed_texts_for
from app.domain.agent import AgentOutput, CutOff

SUMMARY_CHARACTERS = 280
READ_CHARACTERS = 8_000  # of the prose: enough for a summary, however much of it is marks and addresses

_FENCED = re.compile(
    r"^ {0,3}(`{3,16}|~{3,16})[^\n]*\n(?P<code>.*?)(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
_SKIPPED_LINE = re.compile(r"^\s{0,3}(?:#{1,6}\s|>|[-*_=]{3,}\s*$|$)")
_LINE_MARKS = re.compile(r"^[\s>#]+")
_LIST_MARK = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_TABLE_RULE = re.compile(r"^\s*\|?(?:\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?\s*$")
# Text that is kept as it is: code, and signs that stand for themselves.
_VERBATIM = re.compile(
    r"(?<!`)(?P<ticks>`{1,3})(?!`)(?P<code>[^\n]{1,500}?)(?<!`)(?P=ticks)(?!`)|\\(?P<sign>[!-/:-@\[-`{-~])"
)
_PLACE = "\0"
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_CITATION = re.compile(r"\s?\[(\d{1,3})\]")
_EMPHASIS = (
    re.compile(r"(?<!\*)(?P<mark>\*{2,3})(?![\s*])(?P<text>(?:[^*]|(?<!\*)\*(?!\*))+?)(?<!\s)(?P=mark)(?!\*)"),
    re.compile(r"(?<!\*)(?P<mark>\*)(?![\s*])(?P<text>[^*]+?)(?<!\s)\*(?!\*)"),
    re.compile(r"(?<!\w)(?P<mark>__)(?![\s_])(?P<text>(?:[^_]|(?<!_)_(?!_))+?)(?<!\s)__(?!\w)"),
    re.compile(r"(?<!\w)(?P<mark>_)(?![\s_])(?P<text>[^_]+?)(?<!\s)_(?!\w)"),
    re.compile(r"(?<!~)(?P<mark>~~)(?![\s~])(?P<text>[^~]+?)(?<!\s)~~(?!~)"),
)
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
_FACTOR = re.compile(r"[A-Za-z0-9()\[\]]")  # beside `*` on both sides: a product, and no emphasis inside a word
# After the stops of the first kind a sentence ends only before a space: "3.14", "e.g.". The others are used for nothing
# else: Chinese and Japanese, Arabic and Urdu, Devanagari, Ethiopic, Burmese, Khmer, Tibetan, Armenian, Mongolian.
_SENTENCE_END = re.compile(
    "(?:[.!?…‼⁇⁈⁉]+CLOSING*(?=\\s|$)|[。！？｡．؟۔।॥።፧፨။។៕།༎։᠃᠉]+CLOSING*)".replace(  # noqa: RUF001 - stops
        "CLOSING",
        "[\"'”’»›“)\\]」』】）》〉]",  # noqa: RUF001 - brackets and quotation marks
    )
)


def summarise(output: AgentOutput, *, task: str = "") -> str:
    """Returns at most 280 characters on one line; the summary is empty only if the answer is.

    That of an answer that was cut off ends with the reason, in the language of the answer, or else of the `task`.
    """
    told = _summarise(output)
    if not output.truncated:
        return told
    mark = f" [{_reason(output.cut_off, fixed_texts_for(output.content, task))}]"
    room = SUMMARY_CHARACTERS - len(mark)
    return (told if len(told) <= room else _cut(told, room).rstrip()) + mark


def _reason(cut_off: CutOff, texts: FixedTexts) -> str:
    match cut_off:
        case CutOff.LIMIT:
            return texts.cut_at_limit
        case CutOff.BUDGET:
            return texts.cut_by_budget
        case CutOff.FAULT:
            return texts.cut_by_fault


def _summarise(output: AgentOutput) -> str:
    lines = _without_sources(_FENCED.sub("\n", output.content).split("\n"), output)
    prose = _plain(" ".join(_prose(lines)), citations=len(output.citations))
    if prose:
        return _first_sentences(prose)
    code = _FENCED.search(output.content)
    if code is not None:
        count = len(code["code"].rstrip("\n").split("\n"))
        return f"Code in {output.code_language or 'an unnamed language'}, {count} {'line' if count == 1 else 'lines'}."
    # Nothing but headings, quotes or tables: their text is better than an empty summary.
    rest = _plain(" ".join(_rest(lines)).rstrip(" ;"), citations=len(output.citations))
    return _first_sentences(rest or " ".join(output.content.split()))


def _without_sources(lines: Sequence[str], output: AgentOutput) -> list[str]:
    """Removes the entries of the list of sources, wherever and under whatever heading it stands."""
    addresses = tuple(citation.url for citation in output.citations)
    return [line for line in lines if not (_LIST_MARK.match(line) and line.rstrip(" )>").endswith(addresses))]


def _prose(lines: Sequence[str]) -> Iterator[str]:
    """Yields the lines that are neither headings, quotes, tables nor rules, without the marks of lists."""
    in_table = _table_lines(lines)
    for line, is_row in zip(lines, in_table, strict=True):
        if not is_row and not _SKIPPED_LINE.match(line):
            yield _LIST_MARK.sub("", line)


def _rest(lines: Sequence[str]) -> Iterator[str]:
    """Yields all lines, a row of a table as its cells."""
    for line, is_row in zip(lines, _table_lines(lines), strict=True):
        if not is_row:
            yield _LINE_MARKS.sub("", line)
        elif not _TABLE_RULE.match(line):
            cells = (cell.strip() for cell in line.strip().strip("|").split("|"))
            yield ", ".join(cell for cell in cells if cell) + ";"


def _table_lines(lines: Sequence[str]) -> list[bool]:
    """Finds the lines that are part of a table, whose outer bars may be missing: `a | b` above `--- | ---`."""
    rows: list[bool] = []
    for index, line in enumerate(lines):
        below = lines[index + 1] if index + 1 < len(lines) else ""
        is_head = "|" in line and "|" in below and _TABLE_RULE.match(below) is not None
        continues = "|" in line and bool(rows) and rows[-1]
        rows.append(is_head or continues or line.lstrip().startswith("|"))
    return rows


def _plain(text: str, *, citations: int) -> str:
    """Removes links, the numbers of the answer's citations and emphasis; code and escaped signs stay as they are."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match["code"] or match["sign"])
        return _PLACE

    text = _VERBATIM.sub(keep, text[:READ_CHARACTERS].replace(_PLACE, ""))
    text = _LINK.sub(r"\1", text)
    text = _CITATION.sub(lambda match: "" if 1 <= int(match[1]) <= citations else match[0], text)
    for emphasis in _EMPHASIS:
        text = emphasis.sub(_without_marks, text)
    with_kept = "".join(part + code for part, code in zip(text.split(_PLACE), [*kept, ""], strict=True))
    return " ".join(with_kept.split())


def _without_marks(match: re.Match[str]) -> str:
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    is_product = match["mark"].startswith("*") and _FACTOR.match(before) and _FACTOR.match(after)
    is_name = match["mark"] == "__" and _IDENTIFIER.fullmatch(match["text"])  # `__init__`
    return match[0] if is_product or is_name else match["text"]


def _first_sentences(text: str) -> str:
    """Returns as many whole sentences as fit; a first sentence that is too long is cut between words."""
    if len(text) <= SUMMARY_CHARACTERS:
        return text
    ends = [match.end() for match in _SENTENCE_END.finditer(text, 0, SUMMARY_CHARACTERS + 1)]
    fitting = [end for end in ends if end <= SUMMARY_CHARACTERS]
    if fitting:
        return text[: fitting[-1]]
    return _cut(text, SUMMARY_CHARACTERS - 1).rstrip(" ,;:、，") + "…"  # noqa: RUF001 - a comma of Chinese


def _cut(text: str, limit: int) -> str:
    """Cuts between words, or inside one that takes more than half of the room: Chinese and Thai have no spaces."""
    between_words = text.rfind(" ", 0, limit + 1)
    if between_words > limit // 2:
        return text[:between_words]
    within = next((at for at in range(limit, 0, -1) if _may_be_cut(text, at)), limit)
    return text[:within]


def _may_be_cut(text: str, at: int) -> bool:
    """Returns False inside a grapheme: before accents, inside emoji, flags, Hangul syllables and Indic conjuncts."""
    before, after = text[at - 1], text[at]
    if _extends(after) or before == "\u200d" or _is_hangul_tail(after):
        return False
    if unicodedata.combining(before) == 9:  # a virama, which joins the letters beside it
        return False
    flags = re.search("[\U0001f1e6-\U0001f1ff]*$", text[:at])
    return not (flags and len(flags[0]) % 2 and "\U0001f1e6" <= after <= "\U0001f1ff")


def _extends(character: str) -> bool:
    is_tone_or_tag = "\U0001f3fb" <= character <= "\U0001f3ff" or "\U000e0020" <= character <= "\U000e007f"
    return is_tone_or_tag or character in "\u200c\u200d" or unicodedata.category(character).startswith("M")


def _is_hangul_tail(character: str) -> bool:
    return "\u1160" <= character <= "\u11ff" or "\ud7b0" <= character <= "\ud7fb"
