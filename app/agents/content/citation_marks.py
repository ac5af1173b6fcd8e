"""The numbers by which a text cites its sources, in all the ways in which models write them. Pure.

`[2]` and `[1][3]` are what the writer is asked for; `[1, 3]` and `[1-3]` are common. These are read, too: `[^2]`,
`[[2]]`, `\\[2\\]`, `【2】`, `[2†source]`, `[Source 2]`, `(source 2)`, `[words][2]` and a raised number.

- 0 is never a citation, and `[^2]` is a footnote if the text has that footnote.
- A list or a range counts only if all its numbers are known, and so does a number right after a word.
- Plain brackets count unless what stands around them speaks against it: see `citation_context`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from app.agents.content.citation_context import is_attached, is_index, is_interval, is_raised_citation, is_value

Span = tuple[int, int]

_SEPARATOR = r"(?:[,;&、，；–—-]|(?<=\s)(?:and|und|et|y|e|og|och|en|i|и|و|和)(?=\s))"
_LIST = rf"[#^]?\d{{1,3}}(?:\s*{_SEPARATOR}\s*[#^]?\d{{1,3}}){{0,30}}"
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_CANDIDATE = re.compile(
    r"(?P<bracket>\\?[\[【［〔](?P<inner>[^\[\]【】［］〔〕\n]{1,80})[\]】］〕])"
    r"|(?P<words>[(（]\s?(?:(?:see|siehe|vgl\.|cf\.|voir|vid\.|ver)\s)?(?P<word>[^\W\d_]{2,12})[.:]?\s?"
    rf"(?P<listed>{_LIST})\s?[)）])"
    rf"|(?P<raised>[{_RAISED}]{{1,3}}(?:[,·][{_RAISED}]{{1,3}}){{0,9}})"
)
_INNER = re.compile(
    rf"\s*(?P<word>(?:[^\W\d_]{{1,14}}[.:]?\s?)?)(?P<listed>{_LIST})(?P<place>(?::\d{{1,3}})?†[^†]{{0,60}})?\s*\\?"
)


_FOOTNOTE = re.compile(r"^ {0,3}\[\^(\d{1,3})\]:", re.MULTILINE)
_LABEL = re.compile(r"[^\W\d_][^\[\]\n,=]{2,}")
_SOURCE_WORDS = frozenset(
    word
    for words in (
        "source sources src ref refs reference references cite citation citations quelle quellen fuente fuentes",
        "fonte fonti fontes référence références bron bronnen källa källor kilde kilder lähde lähteet źródło źródła",
        "zdroj zdroje forrás sursa kaynak sumber nguồn источник источники джерело джерела πηγή مصدر المصدر منبع מקור",
        "स्रोत 来源 來源 资料 資料 出典 参考 參考 출처",
    )
    for word in words.split()
)


@dataclass(frozen=True)
class Mark:
    """A citation. `numbers` are in the order of the text; `label` has the words of `[words][2]`, else nothing."""

    start: int
    end: int
    numbers: tuple[int, ...]
    label: str = ""


def read_marks(text: str, prose: Sequence[Span], *, known: Collection[int]) -> list[Mark]:
    """Returns the citations in the prose, in order; their numbers need not be known."""
    return list(_Reader(text, prose, known).marks())


def write_marks(numbers: Sequence[int]) -> str:
    return "".join(f"[{number}]" for number in numbers)


def write_firm_marks(numbers: Sequence[int]) -> str:
    """Writes citations in a form that is read as such whatever stands beside them, and is no part of Markdown."""
    return "".join(f"【{number}】" for number in numbers)


def numbers_of(listed: str) -> tuple[int, ...]:
    """Reads `1, 3-5` as numbers; a range that runs backwards counts as its two ends."""
    numbers: list[int] = []
    for part in re.split(r"[^\d\s#^–—-]+|(?<=\d)\s+(?=\d)", listed):
        ends = [int(end) for end in re.findall(r"\d+", part)]
        if ends:
            numbers += range(ends[0], ends[-1] + 1) if ends[0] <= ends[-1] else ends
    return tuple(dict.fromkeys(numbers))


class _Reader:
    """The reader of one text."""

    def __init__(self, text: str, prose: Sequence[Span], known: Collection[int]) -> None:
        self._text = text
        self._prose = prose
        self._starts = [start for start, _ in prose]
        self._known = known
        self._footnotes = {int(match.group(1)) for match in _FOOTNOTE.finditer(text)}

    def marks(self) -> Iterator[Mark]:
        last: Mark | None = None
        for match in _CANDIDATE.finditer(self._text):
            if not self._is_prose(match.start(), match.end()):
                continue
            mark = self._read(match, follows=last is not None and last.end == match.start())
            if mark is not None:
                last = mark
                yield mark

    def _is_prose(self, start: int, end: int) -> bool:
        index = bisect_right(self._starts, start) - 1
        return index >= 0 and end <= self._prose[index][1]

    def _read(self, match: re.Match[str], *, follows: bool) -> Mark | None:
        if match["words"]:
            return self._read_words(match)
        if match["raised"]:
            return self._read_raised(match)
        inner = _INNER.fullmatch(match["inner"])
        if inner is None or match["bracket"].startswith("\\") != match["inner"].endswith("\\"):
            return None
        numbers = numbers_of(inner["listed"])
        if 0 in numbers:
            return None
        start, end = match.span()
        word = inner["word"].strip(" .:").lower()
        if word:
            return self._mark_of_words(word, start, end, numbers)
        if "^" in inner["listed"]:
            return None if self._footnotes.intersection(numbers) else Mark(start, end, numbers)
        if self._text[start - 1 : start] == "[" and self._text[end : end + 1] == "]":
            return Mark(start - 1, end + 1, numbers)
        if inner["place"] or match.group()[0] in "【〔":
            return Mark(start, end, numbers)
        return self._judge(start, end, numbers, follows=follows)

    def _read_words(self, match: re.Match[str]) -> Mark | None:
        numbers = numbers_of(match["listed"])
        return None if 0 in numbers else self._mark_of_words(match["word"].lower(), *match.span(), numbers)

    def _mark_of_words(self, word: str, start: int, end: int, numbers: tuple[int, ...]) -> Mark | None:
        # Without sources "(source 1)" is about something else.
        return Mark(start, end, numbers) if word in _SOURCE_WORDS and self._known else None

    def _read_raised(self, match: re.Match[str]) -> Mark | None:
        numbers = tuple(
            int("".join(str(_RAISED.index(digit)) for digit in part)) for part in re.split("[,·]", match.group())
        )
        if any(number not in self._known for number in numbers) or not is_raised_citation(self._text, *match.span()):
            return None
        return Mark(*match.span(), numbers)

    def _judge(self, start: int, end: int, numbers: tuple[int, ...], *, follows: bool) -> Mark | None:
        """Decides on plain brackets; `follows` means right behind another citation."""
        known = all(number in self._known for number in numbers)
        if not known and (len(numbers) > 1 or not (follows or self._may_be_unknown(start))):
            return None
        mark = Mark(start, end, numbers)
        if follows:
            return mark
        if is_value(self._text, start, end) or (len(numbers) > 1 and is_interval(self._text, start)):
            return None
        if not is_attached(self._text, start):
            return mark
        if self._text[start - 1] == "]":
            return self._read_label(mark) if known else None
        return mark if known and not is_index(self._text, start, end) else None

    def _may_be_unknown(self, start: int) -> bool:
        """Returns False at the start of a line of a text without sources: there it labels an entry of a list."""
        line = self._text[self._text.rfind("\n", 0, start) + 1 : start]
        return bool(self._known) or line.strip(" \t>*-+") != ""

    def _read_label(self, mark: Mark) -> Mark | None:
        """Reads `[words][2]`, a link to a source by its number."""
        opening = self._text.rfind("[", max(0, mark.start - 200), mark.start - 1)
        label = self._text[opening + 1 : mark.start - 1] if opening >= 0 else ""
        if not _LABEL.fullmatch(label) or is_attached(self._text, opening):
            return None
        return Mark(opening, mark.end, mark.numbers, label=f"{label} ")
